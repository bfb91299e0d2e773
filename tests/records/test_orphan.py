"""Orphans: entered first, taken away only when we made them and nothing is lost, or when somebody asks."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from records import inventory, orphan
from records.orphan import Orphan
from records.session import connect, sessions
from tests.rows import a_served
from tests.wishes import a_wish
from workflows import names
from workflows.shapes import Resource, ResourceKind

PLANE, SHORT = "local", "aaaaaaaa"
LONG, AT_ONCE = timedelta(hours=1), timedelta(0)


def a_thing(
    name: str = f"server-{SHORT}-1-0", kind: ResourceKind = ResourceKind.PROCESS, *, holds_data: bool = False
) -> Resource:
    return Resource(kind=kind, name=name, holds_data=holds_data)


A_DATABASE = a_thing(f"gy_agent_{SHORT}", ResourceKind.DATABASE, holds_data=True)


async def enter(session: AsyncSession, *things: Resource, plane: str = PLANE) -> list[Orphan]:
    return await orphan.enter(session, plane, [(SHORT, thing) for thing in things], first="", end=None)


async def known(session: AsyncSession, *things: Resource) -> None:
    """Let the inventory have them, of a deployment that is forgotten."""
    wish = a_wish()
    await inventory.enter(session, wish, PLANE)
    every = await inventory.listed(session, wish.deployment_id)
    for row, thing in zip(every, things, strict=False):
        row.kind, row.name = thing.kind, thing.name
    await inventory.mark_gone(session, wish.deployment_id)
    await session.flush()


def named(rows: Sequence[Orphan]) -> list[str]:
    return [row.name for row in rows]


async def test_entered_once(session: AsyncSession) -> None:
    (first,) = await enter(session, a_thing())
    assert (first.short, first.holds_data, first.known, first.asked_at) == (SHORT, False, False, None)
    began = first.first_seen
    (again,) = await enter(session, a_thing())
    assert (again.id, again.first_seen) == (first.id, began)
    assert again.last_seen > began
    assert named(await orphan.listed(session, PLANE)) == [a_thing().name]
    assert await orphan.listed(session, "other") == []
    assert (await orphan.counts(session))[PLANE] == 1


async def test_not_seen_any_more(session: AsyncSession) -> None:
    other = a_thing("redis-bbbbbbbb", ResourceKind.REDIS)
    await enter(session, a_thing(), A_DATABASE)
    await orphan.enter(session, PLANE, [("bbbbbbbb", other)], first="b", end=None)
    await orphan.enter(session, PLANE, [(SHORT, A_DATABASE)], first="", end="b")
    assert named(await orphan.listed(session, PLANE)) == [A_DATABASE.name, other.name]
    assert await enter(session, plane="elsewhere") == []
    assert len(await orphan.listed(session, PLANE)) == 2
    assert await enter(session) == []
    assert await orphan.listed(session, PLANE) == []


async def test_one_that_comes_back_begins_anew(session: AsyncSession) -> None:
    (first,) = await enter(session, A_DATABASE)
    began = first.first_seen
    await orphan.ask_removal(session, PLANE, first.id)
    await enter(session)
    assert await orphan.ask_removal(session, PLANE, first.id) is None
    (again,) = await enter(session, A_DATABASE)
    assert (again.id, again.removed_at, again.asked_at) == (first.id, None, None)
    assert again.first_seen > began


DUE = [
    ("ours and empty, after its grace", a_thing(), True, AT_ONCE, True),
    ("ours and empty, before", a_thing(), True, LONG, False),
    ("never ours", a_thing(), False, AT_ONCE, False),
    ("ours with data", A_DATABASE, True, AT_ONCE, False),
]


@pytest.mark.parametrize(
    ("thing", "ours", "grace", "goes"), [case[1:] for case in DUE], ids=[case[0] for case in DUE]
)
async def test_what_goes_by_itself(
    session: AsyncSession, thing: Resource, ours: bool, grace: timedelta, goes: bool
) -> None:
    if ours:
        await known(session, thing)
    rows = await enter(session, thing)
    assert rows[0].known is ours
    assert named(orphan.due(rows, grace)) == ([thing.name] if goes else [])
    asked = await orphan.ask_removal(session, PLANE, rows[0].id)
    assert asked is not None
    assert orphan.due(await enter(session, thing), LONG)[0].resource == thing


async def test_asked_of_the_right_plane(session: AsyncSession) -> None:
    (row,) = await enter(session, A_DATABASE)
    assert await orphan.ask_removal(session, "other", row.id) is None
    first = await orphan.ask_removal(session, PLANE, row.id)
    assert first is not None
    asked_at = first.asked_at
    again = await orphan.ask_removal(session, PLANE, row.id)
    assert again is not None
    assert again.asked_at == asked_at


async def test_what_a_living_deployment_has_is_known_by_its_names(session: AsyncSession) -> None:
    owner, wish = await a_served(session)
    process = a_thing(names.server(owner.id, wish.number, 0))
    assert (await enter(session, process))[0].known


async def test_two_sweeps_at_once_enter_it_once(database: str) -> None:
    engine = connect(database)
    made = sessions(engine)

    async def sweep() -> list[Orphan]:
        async with made.begin() as session:
            return await enter(session, a_thing(), A_DATABASE)

    found = await asyncio.gather(*(sweep() for _ in range(6)))
    assert {tuple(sorted(row.id for row in rows)) for rows in found} == {
        tuple(sorted(r.id for r in found[0]))
    }
    async with made() as session:
        rows = await orphan.listed(session, PLANE)
    assert sorted(named(rows)) == sorted([a_thing().name, A_DATABASE.name])
    assert len({row.first_seen for row in rows}) == 1
    await engine.dispose()
