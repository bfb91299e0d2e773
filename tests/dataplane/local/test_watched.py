"""The watch and the survey over a whole plane: real rollouts are never told of, and seen as they were wished."""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from dataplane.local.ours import SETTLE
from tests.dataplane.local.yard import Yard
from workflows import names
from workflows.drift import Field, compare
from workflows.mending import Remedy, Treatment
from workflows.shapes import Resource, Wish


class Told:
    """What the plane's watch tells."""

    def __init__(self, yard: Yard) -> None:
        self.ids: list[UUID] = []
        self.looked = asyncio.Event()
        self._yard = yard
        self._news = asyncio.Condition()
        self._task = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        async for changed in self._yard.plane.upkeep.watch():
            async with self._news:
                self.ids += changed
                self.looked.set()
                self._news.notify_all()

    async def of(self, id_: UUID) -> None:
        async with asyncio.timeout(30), self._news:
            await self._news.wait_for(lambda: id_ in self.ids)

    async def look(self) -> None:
        """Until it has said that nothing happened, or what."""
        self.looked.clear()
        await asyncio.wait_for(self.looked.wait(), 30)

    async def close(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


@pytest.fixture
async def told(yard: Yard) -> AsyncIterator[Told]:
    told = Told(yard)
    await told.look()
    yield told
    await told.close()


async def surveyed(yard: Yard, wish: Wish) -> dict[tuple[Field, str], str]:
    """What differs by the survey's facts."""
    short = names.short(wish.deployment_id)
    found: dict[tuple[Field, str], str] = {}
    async for page in yard.plane.upkeep.observe_all():
        facts = [fact for one in page.seen if one.short == short for fact in one.facts]
        if page.first <= short and (page.end is None or short < page.end):
            found = {(d.field, d.name): d.seen for d in compare(wish, facts, frozenset(page.looked))}
    return found


async def test_rollouts_and_repairs_are_never_told_of_and_a_death_is(
    yard: Yard, deployment: UUID, told: Told
) -> None:
    first, second = yard.wish(deployment), yard.wish(deployment, 2, {"ECHO_PREFIX": "2 "})
    await yard.roll(first)
    assert await surveyed(yard, first) == {}
    await yard.roll(second)
    assert await surveyed(yard, second) == {}
    short, server = names.short(deployment), names.server(deployment, 2, 0)
    treatments = [Treatment(remedy=one) for one in (Remedy.PROVISION, Remedy.RESTART, Remedy.RELINK)]
    await yard.plane.upkeep.repair(second, treatments, lambda said: None)
    await asyncio.sleep(SETTLE)
    await told.look()
    await told.look()
    # Of others it may be told: what earlier tests left is news to a watch that starts anew.
    assert deployment not in told.ids
    state = await yard.supervisor.state(server)
    assert state is not None
    os.kill(state.pid, signal.SIGKILL)
    await told.of(deployment)
    await yard.plane.servers.until_ready(second, lambda said: None)
    (yard.home / "run" / "up" / f"{short}.1").unlink()
    sighted = await yard.plane.upkeep.sight(second)
    present = [one for one in compare(second, sighted.facts, frozenset(sighted.looked)) if not one.past]
    # The words may differ; what they are about may not.
    assert {(one.field, one.name) for one in present} == (await surveyed(yard, second)).keys()
    assert {one.field for one in present} == {Field.LINK}


async def test_all_that_is_left_of_one_is_listed_and_can_be_taken_away(yard: Yard) -> None:
    """As for a deployment whose record was lost."""
    id_ = uuid4()
    wish, short = yard.wish(id_), names.short(id_)
    await yard.roll(wish)

    async def left() -> list[Resource]:
        seen = [one for page in [p async for p in yard.plane.upkeep.observe_all()] for one in page.seen]
        return [resource for one in seen if one.short == short for resource in one.resources]

    owned = [*names.durable_resources(wish), *names.replica_resources(wish)]
    assert {(one.kind, one.name) for one in await left()} == {(one.kind, one.name) for one in owned}
    for orphan in await left():
        if not orphan.holds_data:
            await yard.plane.upkeep.remove_orphan(orphan)
    # The role owns a database that holds data.
    assert {one.kind.value for one in await left() if not one.holds_data} <= {"role"}
    for _ in range(2):
        for orphan in await left():
            await yard.plane.upkeep.remove_orphan(orphan)
    assert await left() == []
    shutil.rmtree(yard.home / "logs" / "deploy" / short)
