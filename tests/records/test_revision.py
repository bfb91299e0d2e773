"""A revision's way through its statuses: forwards only, with a reason, told in the timeline."""

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from records import event, revision, wish
from records.event import EventKind
from records.revision import WAY
from records.specification import Change
from tests.rows import a_deployment, a_revision, claimed, held
from workflows.causes import Cause, Code
from workflows.shapes import ENDED, RevisionStatus

BROKEN = Cause(code=Code.RESOLUTION_FAILED, message="could not resolve X because Y.", fix="Pin X.")
S = RevisionStatus

MOVES = [
    *(
        (before, after, WAY.index(after) > WAY.index(before))
        for before in WAY
        for after in WAY
        if before != after
    ),
    *((before, S.UNKNOWN, False) for before in WAY),
    *((before, after, False) for before in WAY for after in sorted(ENDED)),
]


@pytest.mark.parametrize(("before", "after", "allowed"), MOVES)
async def test_a_status_only_moves_forwards(
    session: AsyncSession, before: RevisionStatus, after: RevisionStatus, allowed: bool
) -> None:
    row = await held(session, await a_revision(session, await a_deployment(session)))
    await revision.advance(session, row, before)
    assert await revision.advance(session, row, after) is allowed
    assert row.status is (after if allowed else before)


@pytest.mark.parametrize("end", sorted(ENDED))
async def test_nothing_goes_past_an_end(session: AsyncSession, end: RevisionStatus) -> None:
    row = await held(session, await a_revision(session, await a_deployment(session)))
    assert await revision.end(session, row, end, None if end is S.DEPLOYED else BROKEN)
    for other in ENDED:
        assert not await revision.end(session, row, other, BROKEN)
    for step in WAY:
        assert not await revision.advance(session, row, step, "late")
    assert not await revision.claim(session, row)
    assert row.status is end
    assert row.attended_at is None


async def test_an_end_is_one_of_the_ends(session: AsyncSession) -> None:
    row = await held(session, await a_revision(session, await a_deployment(session)))
    with pytest.raises(ValueError, match="QUEUED"):
        await revision.end(session, row, S.QUEUED)


async def test_every_step_is_told_with_its_reason(session: AsyncSession) -> None:
    owner = await a_deployment(session)
    row = await claimed(session, await a_revision(session, owner))
    await revision.advance(session, row, S.BUILDING, "resolving")
    await revision.advance(session, row, S.BUILDING, "installing")
    assert not await revision.advance(session, row, S.BUILDING, "installing")
    assert not await revision.advance(session, row, S.BUILDING)
    await revision.end(session, row, S.BUILD_FAILED, BROKEN)
    told = [e for e in await event.listed(session, owner.id) if e.kind is EventKind.REVISION_STATUS]
    assert [(e.before, e.after, e.message) for e in told] == [
        ("CREATING", "QUEUED", ""),
        ("QUEUED", "BUILDING", "resolving"),
        ("BUILDING", "BUILDING", "installing"),
        ("BUILDING", "BUILD_FAILED", "could not resolve X because Y."),
    ]
    last = told[-1]
    assert (last.code, last.fix, last.number, last.revision_id) == ("ResolutionFailed", "Pin X.", 1, row.id)
    assert last.took_ms is not None
    assert row.detail == "could not resolve X because Y. Pin X."
    assert row.cause == BROKEN.model_dump(mode="json")


async def test_only_the_number_that_was_meant_is_held(session: AsyncSession) -> None:
    owner = await a_deployment(session)
    row = await a_revision(session, owner)
    other = await a_deployment(session)
    assert await revision.hold(session, owner.id, row.id, 2) is None
    assert await revision.hold(session, other.id, row.id, 1) is None


async def test_a_claim_overtakes_all_that_is_older(session: AsyncSession) -> None:
    owner = await a_deployment(session)
    rows = [await wish.add(session, owner.id, Change()) for _ in range(5)]
    await revision.end(session, await held(session, rows[0]), S.DEPLOYED)
    await wish.interrupt(session, owner.id, rows[1].id)
    row = await claimed(session, rows[3])
    await session.flush()
    assert [r.status for r in rows] == [S.DEPLOYED, S.INTERRUPTED, S.SKIPPED, S.QUEUED, S.CREATING]
    assert rows[2].cause is not None
    assert rows[2].cause["code"] == "Superseded"
    assert "Revision 4" in rows[2].detail
    first = row.attended_at
    assert await revision.claim(session, row)
    assert row.attended_at == first


async def test_skipped_because_somebody_asked_is_interrupted(session: AsyncSession) -> None:
    owner = await a_deployment(session)
    row = await claimed(session, await a_revision(session, owner))
    await wish.interrupt(session, owner.id, row.id)
    await revision.end(session, row, S.SKIPPED, Cause(code=Code.SUPERSEDED, message="given up"))
    assert row.status is S.INTERRUPTED
    assert row.cause is not None
    assert row.cause["code"] == "Interrupted"


async def test_a_failure_stays_a_failure_though_somebody_asked(session: AsyncSession) -> None:
    owner = await a_deployment(session)
    row = await claimed(session, await a_revision(session, owner))
    await wish.interrupt(session, owner.id, row.id)
    await revision.end(session, row, S.DEPLOY_FAILED, BROKEN)
    assert row.status is S.DEPLOY_FAILED


async def test_open_ones_are_counted(session: AsyncSession) -> None:
    before = await revision.counts(session)
    owner = await a_deployment(session)
    await claimed(session, await a_revision(session, owner))
    after = await revision.counts(session)
    assert after[S.QUEUED] == before.get(S.QUEUED, 0) + 1
    assert S.DEPLOYED not in after
