"""Many at once, with real commits: numbers without gaps, names once, one word per end, no deadlock."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from records import deployment, event, revision, settle, wish, workspace
from records.deployment import Deployment, NameTaken
from records.session import Sessions, connect, sessions
from records.specification import Change
from tests.rows import a_deployment, a_revision
from workflows.causes import Cause, Code
from workflows.shapes import ENDED, RevisionStatus


@pytest.fixture
async def crowd(database: str) -> AsyncIterator[Sessions]:
    """Sessions that get a connection each."""
    engine = connect(database, pool=20, overflow=5)
    yield sessions(engine)
    await engine.dispose()


async def new_deployment(crowd: Sessions) -> Deployment:
    async with crowd.begin() as session:
        return await a_deployment(session)


async def at_once(count: int, act: Callable[[int], Awaitable[object]]) -> list[object]:
    return await asyncio.gather(*(act(index) for index in range(count)), return_exceptions=True)


async def test_twenty_edits_get_twenty_numbers(crowd: Sessions) -> None:
    owner = await new_deployment(crowd)

    async def edit(index: int) -> int:
        async with crowd.begin() as session:
            spec = {"resource_spec": {"min_scale": index}}
            return (await wish.add(session, owner.id, Change(source_config=spec))).number

    numbers = await at_once(20, edit)
    assert sorted(numbers) == list(range(1, 21))  # type: ignore[type-var]
    async with crowd() as session:
        row = await deployment.get(session, owner.workspace_id, owner.id)
        last = await revision.newest(session, owner.id)
        told = await event.listed(session, owner.id)
    assert row is not None
    assert last is not None
    assert (row.last_number, row.latest_revision_id) == (20, last.id)
    assert row.source_config["resource_spec"] == last.source_config["resource_spec"]
    assert [one.number for one in told] == [None, *range(1, 21)]


async def test_a_name_is_given_once(crowd: Sessions) -> None:
    async with crowd.begin() as session:
        home = await workspace.named(session, "crowded")

    async def make(_: int) -> Deployment:
        async with crowd.begin() as session:
            return await a_deployment(session, home.id, name="agent")

    results = await at_once(10, make)
    assert Counter(type(result) for result in results) == {Deployment: 1, NameTaken: 9}


async def test_an_end_is_written_once(crowd: Sessions) -> None:
    owner = await new_deployment(crowd)
    async with crowd.begin() as session:
        row = await a_revision(session, owner)
    ends = sorted(ENDED)

    async def end(index: int) -> bool:
        async with crowd.begin() as session:
            held = await revision.hold(session, owner.id, row.id, 1)
            assert held is not None
            cause = Cause(code=Code.INTERNAL, message="It broke.")
            return await revision.end(session, held, ends[index % len(ends)], cause)

    results = await at_once(12, end)
    assert Counter(results) == {True: 1, False: 11}
    async with crowd() as session:
        told = await event.listed(session, owner.id)
    assert [one.after for one in told].count("CREATING") == 1
    assert len([one for one in told if one.after in {status.value for status in ENDED}]) == 1


async def test_callers_and_workflows_at_once_do_not_deadlock(crowd: Sessions) -> None:
    owner = await new_deployment(crowd)

    async def edit(_: int) -> None:
        async with crowd.begin() as session:
            row = await a_revision(session, owner)
        async with crowd.begin() as session:
            await wish.interrupt(session, owner.id, row.id)

    async def look(_: int) -> None:
        async with crowd.begin() as session:
            wanted = (await settle.intent(session, owner.id)).wanted
        if wanted is None:
            return
        async with crowd.begin() as session:
            held = await revision.hold(session, owner.id, wanted.revision_id, wanted.number)
            assert held is not None
            await revision.claim(session, held)
            await revision.advance(session, held, RevisionStatus.BUILDING)

    results = await at_once(24, lambda index: (edit if index % 2 else look)(index))
    assert [result for result in results if isinstance(result, BaseException)] == []
    async with crowd() as session:
        told = [one.id for one in await event.listed(session, owner.id, limit=1000)]
    assert told == sorted(told)


async def test_events_are_read_after_an_id(crowd: Sessions) -> None:
    owner = await new_deployment(crowd)
    async with crowd.begin() as session:
        for _ in range(4):
            await wish.add(session, owner.id, Change())
    async with crowd() as session:
        first = await event.listed(session, owner.id, limit=2)
        rest = await event.listed(session, owner.id, after=first[-1].id)
        newest = await event.listed(session, owner.id, limit=2, newest_first=True)
    assert [one.number for one in first] == [None, 1]
    assert [one.number for one in rest] == [2, 3, 4]
    assert [one.number for one in newest] == [4, 3]
