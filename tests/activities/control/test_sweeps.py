"""The sweep nudges what waited too long, tells it in a sentence, and lets no failure hide another wish."""

import re
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from activities.control.records import RecordSteps
from records import line, revision
from records.base import now
from records.deployment import Deployment
from records.line import LogKind, NewLine, Wanted
from records.session import Sessions
from tests.rows import a_deployment, a_revision, claimed
from workflows.accounts import Notice
from workflows.shapes import Swept

PLANE = "swept"


class Nudges:
    """Remembers whom it nudged; refuses one if told to."""

    def __init__(self) -> None:
        self.seen: list[UUID] = []
        self.refuses: str | None = None
        self.lost: set[str] = set()
        self.away = False

    async def __call__(self, row: Deployment) -> None:
        if row.name == self.refuses:
            raise ConnectionError("Temporal is away")
        self.seen.append(row.id)

    async def inspect(self, row: Deployment, notice: Notice) -> None:
        raise AssertionError(f"a sweep over records looks at no plane, not even for {row.name} ({notice.by})")

    async def alive(self, row: Deployment) -> bool:
        if self.away:
            raise ConnectionError("Temporal is away")
        return row.name not in self.lost


@pytest.fixture
def nudges() -> Nudges:
    return Nudges()


@pytest.fixture
def steps(ledger: Sessions, nudges: Nudges) -> RecordSteps:
    return RecordSteps(ledger, public_url="http://here", nudge=nudges)


def told(swept: Swept) -> str:
    """Its sentence with the tens of seconds only: a busy machine takes its time."""
    return re.sub(r"waited (\d+)\d s", r"waited \g<1>0 s", swept.sentence)


async def waits(session: AsyncSession, name: str, seconds: float) -> Deployment:
    owner = await a_deployment(session, name=name, plane=PLANE)
    row = await a_revision(session, owner)
    row.created_at = now() - timedelta(seconds=seconds)
    await session.commit()
    return owner


async def test_all_is_well(steps: RecordSteps, nudges: Nudges, session: AsyncSession) -> None:
    await waits(session, "fresh", 1)
    swept = await steps.nudge_unattended(PLANE)
    assert (swept.deployments, swept.nudged, nudges.seen) == (1, 0, [])
    assert told(swept) == "1 deployment, 0 nudged"


async def test_one_waited(steps: RecordSteps, nudges: Nudges, session: AsyncSession) -> None:
    await waits(session, "fresh", 1)
    late = await waits(session, "my-agent", 70)
    swept = await steps.nudge_unattended(PLANE)
    assert (swept.deployments, swept.nudged, nudges.seen) == (2, 1, [late.id])
    assert told(swept) == "2 deployments, 1 nudged: my-agent waited 70 s"


async def test_many_waited(steps: RecordSteps, nudges: Nudges, session: AsyncSession) -> None:
    late = [await waits(session, f"agent-{wait}", wait) for wait in (100, 90, 80, 70, 60)]
    swept = await steps.nudge_unattended(PLANE)
    assert nudges.seen == [row.id for row in late]
    assert told(swept) == (
        "5 deployments, 5 nudged: agent-100 waited 100 s, agent-90 waited 90 s, agent-80 waited 80 s, 2 more"
    )


async def flies(session: AsyncSession, name: str) -> Deployment:
    """A deployment with a rollout that has only just moved."""
    owner = await a_deployment(session, name=name, plane=PLANE)
    await claimed(session, await a_revision(session, owner))
    await session.commit()
    return owner


async def test_a_rollout_without_a_workflow_is_nudged_at_once(
    steps: RecordSteps, nudges: Nudges, session: AsyncSession
) -> None:
    await flies(session, "at-work")
    lost = await flies(session, "my-agent")
    nudges.lost = {"my-agent"}
    swept = await steps.nudge_unattended(PLANE)
    assert nudges.seen == [lost.id]
    assert told(swept) == "2 deployments, 1 nudged: my-agent had no workflow"


async def test_who_waited_is_not_asked_for_as_well(
    steps: RecordSteps, nudges: Nudges, session: AsyncSession
) -> None:
    owner = await flies(session, "my-agent")
    (row,) = await revision.still_open(session, owner.id)
    row.updated_at = now() - timedelta(minutes=11)
    await session.commit()
    nudges.lost = {"my-agent"}
    swept = await steps.nudge_unattended(PLANE)
    assert (nudges.seen, told(swept)) == ([owner.id], "1 deployment, 1 nudged: my-agent waited 660 s")


async def test_a_wish_that_is_fresh_needs_no_workflow_yet(
    steps: RecordSteps, nudges: Nudges, session: AsyncSession
) -> None:
    await waits(session, "my-agent", 1)
    nudges.lost = {"my-agent"}
    assert (await steps.nudge_unattended(PLANE)).nudged == 0


async def test_who_cannot_be_asked_for_is_left_to_the_next_sweep(
    steps: RecordSteps, nudges: Nudges, session: AsyncSession
) -> None:
    await flies(session, "my-agent")
    late = await waits(session, "late", 70)
    nudges.away = True
    assert (await steps.nudge_unattended(PLANE)).nudged == 1
    assert nudges.seen == [late.id]


async def test_old_lines_go(steps: RecordSteps, session: AsyncSession) -> None:
    owner = await a_deployment(session, plane=PLANE)
    for position, days in enumerate((31, 29)):
        shipped = NewLine(LogKind.DEPLOY, now() - timedelta(days=days), "hello", "s", position)
        await line.insert_lines(session, owner.id, [shipped])
    await session.commit()
    await steps.nudge_unattended(PLANE)
    page = await line.page(session, owner.id, Wanted(LogKind.DEPLOY))
    assert [row.position for row in page.lines] == [1]


async def test_one_that_fails_does_not_stop_the_others(
    steps: RecordSteps, nudges: Nudges, session: AsyncSession
) -> None:
    nudges.refuses = "first"
    await waits(session, "first", 80)
    late = await waits(session, "second", 70)
    swept = await steps.nudge_unattended(PLANE)
    assert (swept.nudged, nudges.seen) == (1, [late.id])
    assert told(swept) == "2 deployments, 1 nudged: second waited 70 s; 1 could not be nudged"
