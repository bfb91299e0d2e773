"""What a sweep finds: everything that waited too long, and nothing else."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from records import deployment, waiting, wish
from records.base import now
from records.revision import Revision
from tests.rows import a_deployment, a_revision, claimed, ended
from workflows.shapes import RevisionStatus

PATIENCE, STUCK = timedelta(seconds=30), timedelta(minutes=10)
Act = Callable[[AsyncSession, Revision], Awaitable[Any]]


def age(row: Revision, **by: float) -> None:
    """Let the row be older than it is."""
    for column in ("created_at", "updated_at", "attended_at", "interrupt_requested_at"):
        moment = getattr(row, column)
        if moment is not None:
            setattr(row, column, moment - timedelta(**by))


async def nothing(session: AsyncSession, row: Revision) -> None:
    """A wish as it was made."""


async def interrupted(session: AsyncSession, row: Revision) -> None:
    await claimed(session, row)
    await wish.interrupt(session, row.deployment_id, row.id)


async def failed(session: AsyncSession, row: Revision) -> None:
    await ended(session, await claimed(session, row), RevisionStatus.BUILD_FAILED)


CASES: list[tuple[str, Act, float, bool]] = [
    ("a fresh wish", nothing, 5, False),
    ("a wish nobody took on", nothing, 40, True),
    ("a rollout at work", claimed, 40, False),
    ("a rollout that stands still", claimed, 700, True),
    ("an interrupt nobody heard", interrupted, 40, True),
    ("a fresh interrupt", interrupted, 5, False),
    ("long ended", failed, 100_000, False),
]


@pytest.mark.parametrize(
    ("act", "seconds", "found"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
async def test_overdue_wishes(session: AsyncSession, act: Act, seconds: float, found: bool) -> None:
    owner = await a_deployment(session, plane="swept")
    row = await a_revision(session, owner)
    await act(session, row)
    age(row, seconds=seconds)
    await session.flush()
    late = await waiting.overdue(session, "swept", patience=PATIENCE, stuck=STUCK)
    assert [item.deployment.id for item in late] == ([owner.id] if found else [])
    if found:
        assert abs((now() - late[0].since).total_seconds() - seconds) < 5
    assert await waiting.overdue(session, "other", patience=PATIENCE, stuck=STUCK) == []


async def test_an_unfinished_deletion_is_overdue(session: AsyncSession) -> None:
    row = await a_deployment(session, plane="swept")
    await deployment.mark_deleted(session, row.id)
    assert await waiting.overdue(session, "swept", patience=PATIENCE, stuck=STUCK) == []
    row.deleted_at = now() - timedelta(seconds=40)
    await session.flush()
    (late,) = await waiting.overdue(session, "swept", patience=PATIENCE, stuck=STUCK)
    assert (late.deployment.id, late.since) == (row.id, row.deleted_at)


async def test_the_longest_waiting_comes_first_and_once(session: AsyncSession) -> None:
    owners = [await a_deployment(session, plane="swept") for _ in range(3)]
    for owner, seconds in zip(owners, (40, 90, 60), strict=True):
        for extra in (0, 3):
            age(await a_revision(session, owner), seconds=seconds + extra)
    await session.flush()
    late = await waiting.overdue(session, "swept", patience=PATIENCE, stuck=STUCK)
    assert [item.deployment.id for item in late] == [owners[1].id, owners[2].id, owners[0].id]
    assert await waiting.living(session, "swept") == 3
