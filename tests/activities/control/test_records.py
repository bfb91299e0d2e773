"""The control steps: each may come twice, late, or for what is gone, and the record stays true."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from activities.control.records import RecordSteps, RemovalIncomplete
from records import deployment, drift, event, image, inventory, line, revision, wish
from records.base import now
from records.deployment import Deployment
from records.event import EventKind
from records.image import BuildOutcome
from records.line import LogKind, Wanted
from records.session import Sessions
from records.specification import Change, Environment
from tests.activities.control.hands import Nobody, a_wish, fresh, outcome, progress, row_of, status
from tests.rows import a_deployment, an_image, an_upload
from workflows.accounts import Account, Finder, Notice
from workflows.causes import Cause, Code
from workflows.drift import Difference, Field, Severity
from workflows.mending import State
from workflows.shapes import (
    Built,
    DeploymentStatus,
    Removed,
    Resource,
    ResourceKind,
    RevisionStatus,
)

S = RevisionStatus
SUPERSEDED = Cause(code=Code.SUPERSEDED, message="Revision 2 is newer.")
BROKEN = Cause(code=Code.RESOLUTION_FAILED, message="could not resolve X.", fix="Pin X.")


@pytest.fixture
def steps(ledger: Sessions) -> RecordSteps:
    return RecordSteps(ledger, public_url="http://127.0.0.1:4747/", nudge=Nobody())


@pytest.fixture
async def owner(session: AsyncSession) -> Deployment:
    row = await a_deployment(session)
    await session.commit()
    return row


async def there(session: AsyncSession, owner: Deployment) -> list[str]:
    rows = await inventory.listed(session, owner.id)
    return [row.name for row in rows if row.gone_at is None and row.kind is ResourceKind.PROCESS]


async def test_the_whole_story(steps: RecordSteps, session: AsyncSession, owner: Deployment) -> None:
    """Every step twice, as Temporal may run it."""
    first = await a_wish(session, owner)
    made = an_image(defaults="sealed defaults")
    built = Built(deployment_id=owner.id, revision_id=first.revision_id, image=made)
    deployed = outcome(first, S.DEPLOYED)
    story: list[tuple[Callable[[], Awaitable[Any]], RevisionStatus]] = [
        (lambda: steps.claim(first), S.QUEUED),
        (lambda: steps.advance(progress(first, S.AWAITING_BUILD)), S.AWAITING_BUILD),
        (lambda: steps.advance(progress(first, S.BUILDING)), S.BUILDING),
        (lambda: steps.record_databases(first), S.BUILDING),
        (lambda: steps.record_image(built), S.AWAITING_DEPLOY),
        (lambda: steps.advance(progress(first, S.DEPLOYING, "starting")), S.DEPLOYING),
        (lambda: steps.record_outcome(deployed), S.DEPLOYED),
        (lambda: steps.record_retired(first), S.DEPLOYED),
    ]
    for step, expected in story:
        assert await step() == await step()
        assert await status(session, first) is expected
    row = await fresh(session, owner)
    assert row.status is DeploymentStatus.READY
    assert row.url == f"http://127.0.0.1:4747/d/{owner.slug}"
    assert (row.active_revision_id, row.image_version) == (first.revision_id, made.server)
    assert (await row_of(session, first)).defaults == "sealed defaults"
    build = await image.build_of(session, first.revision_id)
    assert build is not None
    assert (build.outcome, build.image_id) == (BuildOutcome.BUILT, made.digest)
    told = [(one.kind, one.after) for one in await event.listed(session, owner.id)]
    assert told == [
        (EventKind.DEPLOYMENT_CREATED, "AWAITING_DATABASE"),
        (EventKind.REVISION_CREATED, "CREATING"),
        (EventKind.REVISION_STATUS, "QUEUED"),
        (EventKind.REVISION_STATUS, "AWAITING_BUILD"),
        (EventKind.REVISION_STATUS, "BUILDING"),
        (EventKind.DEPLOYMENT_STATUS, "READY"),
        (EventKind.IMAGE_RECORDED, None),
        (EventKind.REVISION_STATUS, "AWAITING_DEPLOY"),
        (EventKind.REVISION_STATUS, "DEPLOYING"),
        (EventKind.REVISION_STATUS, "DEPLOYED"),
        (EventKind.SERVING, None),
    ]
    assert await there(session, owner) == [f"server-{owner.short}-1-0"]
    intent = await steps.read_intent(owner.id)
    assert (intent.wanted, intent.active) == (None, 1)


async def test_a_build_that_is_awaited_has_a_log(
    steps: RecordSteps, session: AsyncSession, owner: Deployment
) -> None:
    """The official CLI asks for it as soon as it sees that status, and may never ask again."""
    first = await a_wish(session, owner)
    await steps.claim(first)
    asked = Wanted(LogKind.BUILD, revision_id=first.revision_id)
    assert (await line.page(session, owner.id, asked)).lines == []
    for _ in range(2):
        await steps.advance(progress(first, S.AWAITING_BUILD))
        told = [one.message for one in (await line.page(session, owner.id, asked)).lines]
        assert told == ["Revision 1 was taken on: its source is checked first."]


async def test_late_steps_change_nothing(
    steps: RecordSteps, session: AsyncSession, owner: Deployment
) -> None:
    late = await a_wish(session, owner)
    await steps.claim(late)
    await steps.advance(progress(late, S.DEPLOYING))
    await steps.advance(progress(late, S.BUILDING))
    assert await status(session, late) is S.DEPLOYING
    await steps.record_outcome(outcome(late, S.DEPLOY_FAILED, BROKEN))
    made = an_image()
    await steps.claim(late)
    await steps.advance(progress(late, S.DEPLOYING, "still at it"))
    await steps.record_image(Built(deployment_id=owner.id, revision_id=late.revision_id, image=made))
    row = await row_of(session, late)
    assert (row.status, row.image_id) == (S.DEPLOY_FAILED, None)
    assert await image.kept(session, made.digest, "local")
    wrong = outcome(late, S.DEPLOYED).model_copy(update={"number": 7})
    assert await steps.record_outcome(wrong) == wrong


async def test_a_given_up_rollout_is_skipped(
    steps: RecordSteps, session: AsyncSession, owner: Deployment
) -> None:
    older = await a_wish(session, owner)
    await steps.claim(older)
    await a_wish(session, owner)
    said = await steps.record_outcome(outcome(older, S.SKIPPED, SUPERSEDED))
    assert (said.status, said.cause) == (S.SKIPPED, SUPERSEDED)
    assert await steps.record_outcome(outcome(older, S.DEPLOYED)) == said
    assert (await fresh(session, owner)).active_revision_id is None
    assert await there(session, owner) == []


async def test_what_nobody_gave_up_is_still_wanted(
    steps: RecordSteps, session: AsyncSession, owner: Deployment
) -> None:
    row = await a_wish(session, owner)
    await steps.claim(row)
    await steps.record_outcome(outcome(row, S.SKIPPED, SUPERSEDED))
    assert (await row_of(session, row)).status is S.QUEUED
    wanted = (await steps.read_intent(owner.id)).wanted
    assert wanted is not None
    assert wanted.revision_id == row.revision_id


async def test_on_request_it_is_interrupted(
    steps: RecordSteps, session: AsyncSession, owner: Deployment
) -> None:
    row = await a_wish(session, owner)
    await steps.claim(row)
    await steps.advance(progress(row, S.BUILDING))
    await wish.interrupt(session, owner.id, row.revision_id)
    await session.commit()
    assert (await steps.read_intent(owner.id)).wanted is None
    said = await steps.record_outcome(outcome(row, S.SKIPPED, SUPERSEDED))
    assert said.status is S.INTERRUPTED
    assert said.cause is not None
    assert said.cause.code is Code.INTERRUPTED
    build = await image.build_of(session, row.revision_id)
    assert build is not None
    assert build.outcome is BuildOutcome.GIVEN_UP


async def test_an_interrupt_before_any_claim_ends_by_looking(
    steps: RecordSteps, session: AsyncSession, owner: Deployment
) -> None:
    row = await a_wish(session, owner)
    await wish.interrupt(session, owner.id, row.revision_id)
    await session.commit()
    assert (await steps.read_intent(owner.id)).wanted is None
    assert await status(session, row) is S.INTERRUPTED


FAILURES = [S.CREATE_FAILED, S.BUILD_FAILED, S.DEPLOY_FAILED]


@pytest.mark.parametrize("end", FAILURES)
async def test_a_failure_leaves_the_last_good_one_serving(
    steps: RecordSteps, session: AsyncSession, owner: Deployment, end: RevisionStatus
) -> None:
    good = await a_wish(session, owner)
    await steps.claim(good)
    await steps.record_outcome(outcome(good, S.DEPLOYED))
    bad = await a_wish(session, owner)
    await steps.claim(bad)
    await steps.advance(progress(bad, S.BUILDING))
    said = await steps.record_outcome(outcome(bad, end, BROKEN))
    assert said == outcome(bad, end, BROKEN)
    row = await row_of(session, bad)
    assert (row.detail, row.cause) == (str(BROKEN), BROKEN.model_dump(mode="json"))
    assert (await fresh(session, owner)).active_revision_id == good.revision_id
    assert await there(session, owner) == [f"server-{owner.short}-1-0"]
    build = await image.build_of(session, bad.revision_id)
    assert build is not None
    assert build.outcome is (BuildOutcome.FAILED if end is S.BUILD_FAILED else BuildOutcome.GIVEN_UP)
    assert (await steps.read_intent(owner.id)).active == 1


async def test_ten_quick_edits_cost_one_rollout(
    steps: RecordSteps, session: AsyncSession, owner: Deployment
) -> None:
    wishes = [await a_wish(session, owner) for _ in range(10)]
    wanted = (await steps.read_intent(owner.id)).wanted
    assert wanted is not None
    assert wanted.number == 10
    await steps.claim(wanted)
    ends = [await status(session, one) for one in wishes]
    assert ends == 9 * [S.SKIPPED] + [S.QUEUED]


async def test_a_late_older_one_does_not_take_the_place_of_a_newer(
    steps: RecordSteps, session: AsyncSession, owner: Deployment
) -> None:
    older, newer = [await a_wish(session, owner) for _ in range(2)]
    await steps.record_outcome(outcome(newer, S.DEPLOYED))
    await steps.record_outcome(outcome(older, S.DEPLOYED))
    assert (await fresh(session, owner)).active_revision_id == newer.revision_id


async def test_retiring_ends_the_older_processes(
    steps: RecordSteps, session: AsyncSession, owner: Deployment
) -> None:
    for _ in range(2):
        one = await a_wish(session, owner, source_config={"resource_spec": {"min_scale": 2}})
        await steps.claim(one)
        await steps.record_outcome(outcome(one, S.DEPLOYED))
    assert len(await there(session, owner)) == 4
    await steps.record_retired(one)
    await steps.record_retired(one)
    assert await there(session, owner) == [f"server-{owner.short}-2-0", f"server-{owner.short}-2-1"]
    told = [one for one in await event.listed(session, owner.id) if one.kind is EventKind.RETIRED]
    assert [one.message for one in told] == ["2 older server processes ended."]


async def test_secrets_only_needs_no_build(
    steps: RecordSteps, session: AsyncSession, owner: Deployment
) -> None:
    first = await a_wish(session, owner)
    made = an_image()
    await steps.claim(first)
    await steps.record_image(Built(deployment_id=owner.id, revision_id=first.revision_id, image=made))
    await steps.record_outcome(outcome(first, S.DEPLOYED))
    await wish.add(session, owner.id, Change(environment=Environment("others")))
    await session.commit()
    wanted = (await steps.read_intent(owner.id)).wanted
    assert wanted is not None
    assert (wanted.number, wanted.image, wanted.environment) == (2, made.digest, "others")
    assert made.digest in (await steps.images_to_keep("local")).digests


async def test_a_removal_leaves_the_inventory_only(
    steps: RecordSteps, session: AsyncSession, owner: Deployment
) -> None:
    one = await a_wish(session, owner)
    await steps.claim(one)
    await an_upload(session, owner)
    await deployment.mark_deleted(session, owner.id)
    await session.commit()
    intent = await steps.read_intent(owner.id)
    assert intent.deleted
    assert intent.wanted is not None
    await steps.record_databases(one)
    assert (await fresh(session, owner)).status is DeploymentStatus.AWAITING_DELETE
    for _ in range(2):
        await steps.record_removed(Removed(deployment_id=owner.id))
    session.expunge_all()
    assert await deployment.get(session, owner.workspace_id, owner.id) is None
    items = await inventory.listed(session, owner.id)
    assert len(items) == 5
    assert all(item.gone_at is not None for item in items)


async def test_a_removal_that_left_something_is_not_forgotten(
    steps: RecordSteps, session: AsyncSession, owner: Deployment
) -> None:
    await deployment.mark_deleted(session, owner.id)
    await session.commit()
    left = [Resource(kind=ResourceKind.DATABASE, name="gy_agent_1")]
    with pytest.raises(RemovalIncomplete, match="database gy_agent_1"):
        await steps.record_removed(Removed(deployment_id=owner.id, left=left))
    assert await deployment.get(session, owner.workspace_id, owner.id) is not None


async def test_what_lives_is_not_removed(
    steps: RecordSteps, session: AsyncSession, owner: Deployment
) -> None:
    one = await a_wish(session, owner)
    await steps.claim(one)
    await steps.record_removed(Removed(deployment_id=owner.id))
    assert await deployment.get(session, owner.workspace_id, owner.id) is not None
    assert await there(session, owner) == [f"server-{owner.short}-1-0"]


async def test_steps_for_what_is_gone_do_nothing(
    steps: RecordSteps, session: AsyncSession, owner: Deployment
) -> None:
    one = await a_wish(session, owner)
    await steps.claim(one)
    await deployment.mark_deleted(session, owner.id)
    await session.commit()
    await steps.record_removed(Removed(deployment_id=owner.id))
    await steps.claim(one)
    await steps.advance(progress(one, S.BUILDING))
    await steps.record_databases(one)
    await steps.record_image(Built(deployment_id=owner.id, revision_id=one.revision_id, image=an_image()))
    await steps.record_retired(one)
    end = outcome(one, S.SKIPPED, SUPERSEDED)
    assert await steps.record_outcome(end) == end
    assert (await steps.read_intent(owner.id)).deleted
    assert (await steps.read_intent(uuid4())).deleted
    assert await there(session, owner) == []
    session.expunge_all()
    assert await revision.newest(session, owner.id) is None


async def test_an_account_is_written_down_once(
    steps: RecordSteps, session: AsyncSession, owner: Deployment
) -> None:
    of = await a_wish(session, owner)
    told = Account(
        deployment_id=owner.id,
        revision_id=of.revision_id,
        number=1,
        notice=Notice(by=Finder.WATCH, at=now()),
        at=now(),
        differences=[
            Difference(
                field=Field.REDIS, name="redis", wanted="running", seen="missing", severity=Severity.DOWN
            )
        ],
        state=State.REPAIRING,
        why="Redis is missing.",
    )
    await steps.account(told)
    await steps.account(told)
    (row,) = await drift.open_of(session, owner.id)
    assert (row.field, row.seen, row.found_by) == (Field.REDIS, "missing", Finder.WATCH)
    assert (await fresh(session, owner)).drift_state is State.REPAIRING
    await deployment.mark_deleted(session, owner.id)
    await deployment.forget(session, owner.id)
    await session.commit()
    await steps.account(told)
