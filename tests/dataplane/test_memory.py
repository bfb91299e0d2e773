"""The plane that remembers keeps every promise of a plane, and can be held and broken by a test."""

import asyncio
from collections.abc import Callable
from uuid import uuid4

import pytest

from dataplane.injuries import Injuries
from dataplane.memory import Memory
from dataplane.memory_upkeep import MemoryUpkeep
from dataplane.plane import Plane
from tests.dataplane.contract import (
    MakeWish,
    PlaneContract,
    UpkeepContract,
    differences,
    hear,
    mended,
    serving,
)
from tests.wishes import a_wish, an_archive
from workflows import names
from workflows.causes import Code, Refused
from workflows.drift import Field
from workflows.mending import treatments
from workflows.shapes import Resource, ResourceKind, Wish


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def plane(memory: Memory) -> Plane:
    return memory.plane()


@pytest.fixture
def make_wish() -> MakeWish:
    deployment_id, archive = uuid4(), an_archive()

    def make(number: int = 1, **changes: object) -> Wish:
        return a_wish(**{"deployment_id": deployment_id, "number": number, "archive": archive, **changes})

    return make


class TestMemory(PlaneContract):
    """The promises of any plane."""


class TestUpkeep(UpkeepContract):
    """What any plane promises of seeing itself and being put right."""


async def test_a_held_step_waits(memory: Memory, plane: Plane) -> None:
    held = memory.hold("build")
    building = asyncio.create_task(plane.images.build(a_wish(archive=an_archive()), hear))
    await held.reached.wait()
    assert not building.done()
    held.release()
    assert (await building).digest in memory.images


async def test_a_held_step_can_be_given_up(memory: Memory, plane: Plane) -> None:
    held = memory.hold("build")
    building = asyncio.create_task(plane.images.build(a_wish(archive=an_archive()), hear))
    await held.reached.wait()
    building.cancel()
    await asyncio.wait([building])
    assert (building.cancelled(), memory.cancelled["build"]) == (True, 1)


async def test_failures_come_in_order_and_end(memory: Memory, plane: Plane) -> None:
    wish = a_wish(archive=an_archive())
    memory.fail("build", ConnectionError("away"), Refused(Code.DISK_FULL, "No space."))
    with pytest.raises(ConnectionError):
        await plane.images.build(wish, hear)
    with pytest.raises(Refused):
        await plane.images.build(wish, hear)
    assert (await plane.images.build(wish, hear)).graphs == ["echo"]
    assert memory.calls["build"] == 3


async def test_what_is_not_ready_proves_nothing(memory: Memory, plane: Plane) -> None:
    wish = a_wish(archive=an_archive())
    image = await plane.images.build(wish, hear)
    wish = wish.model_copy(update={"image": image.digest})
    await plane.servers.apply(wish)
    with pytest.raises(Refused) as caught:
        await plane.servers.prove(wish)
    assert caught.value.cause.code is Code.PROOF_FAILED


async def test_injuries_are_news_and_their_repair_is_not(memory: Memory, plane: Plane) -> None:
    wish = a_wish(archive=an_archive())
    async with serving(plane, wish) as wish:
        changes = plane.upkeep.watch()
        memory.injuries.lose_replica(wish.deployment_id)
        assert await anext(changes) == {wish.deployment_id}
        await mended(plane, wish)
        waiting = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0)
        memory.injuries.lose_route(wish.deployment_id)
        assert await waiting == {wish.deployment_id}
        await mended(plane, wish)
        assert await anext(changes) == set()


INJURIES: dict[str, Callable[[Injuries, Wish], None]] = {
    "replica": lambda injuries, wish: injuries.lose_replica(wish.deployment_id),
    "database": lambda injuries, wish: injuries.lose_databases(wish.deployment_id, ResourceKind.DATABASE),
    "all databases": lambda injuries, wish: injuries.lose_databases(wish.deployment_id),
    "route": lambda injuries, wish: injuries.lose_route(wish.deployment_id),
    "link": lambda injuries, wish: injuries.lead_astray(wish.deployment_id, 0),
    "image": lambda injuries, wish: injuries.lose_image(str(wish.image)),
    "extra": lambda injuries, wish: injuries.add_replica(wish.deployment_id, "server-x-9-0", 9),
    **{
        field.value: lambda injuries, wish, field=field, name=name: injuries.hurt(  # type: ignore[misc]
            wish.deployment_id, field, name(wish), "ill"
        )
        for field, name in {
            **dict.fromkeys(
                (Field.PASSWORD, Field.GRANTS, Field.CONNECTIONS, Field.EXTENSION, Field.ROLE),
                lambda wish: names.database(wish.name, wish.deployment_id),
            ),
            **dict.fromkeys(
                (Field.REDIS, Field.REDIS_PASSWORD, Field.PERSISTENCE),
                lambda wish: names.redis(wish.deployment_id),
            ),
            **dict.fromkeys(
                (Field.PROCESS, Field.ANSWER, Field.WORK, Field.ENVIRONMENT, Field.IMAGE),
                lambda wish: names.server(wish.deployment_id, wish.number, 0),
            ),
        }.items()
    },
}


@pytest.mark.parametrize("injury", INJURIES)
async def test_every_injury_is_seen_and_healed(memory: Memory, plane: Plane, injury: str) -> None:
    async with serving(plane, a_wish(archive=an_archive())) as wish:
        INJURIES[injury](memory.injuries, wish)
        await mended(plane, wish)


async def test_an_injury_that_lasts_is_there_after_every_repair(memory: Memory, plane: Plane) -> None:
    async with serving(plane, a_wish(archive=an_archive())) as wish:
        ill, injuries = wish.deployment_id, memory.injuries
        injuries.lasting(ill, lambda: injuries.lose_replica(ill))
        for _ in range(2):
            found = await differences(plane, wish)
            assert [one.field for one in found] == [Field.PROCESS]
            await plane.upkeep.repair(wish, treatments(found, {}), hear)
        injuries.end_lasting(ill)
        await mended(plane, wish)


async def test_many_deployments_come_in_pages(memory: Memory) -> None:
    wishes = [a_wish() for _ in range(25)]
    for wish in wishes:
        memory.make_databases(wish)
    stray = Resource(kind=ResourceKind.DATABASE, name="gy_lost_00000001", holds_data=True)
    memory.injuries.add_stray(stray)
    upkeep = MemoryUpkeep("local", memory, page=10)
    pages = [page async for page in upkeep.observe_all()]
    assert [len(page.seen) for page in pages] == [10, 10, 6]
    shorts = [one.short for page in pages for one in page.seen]
    assert shorts == sorted(["00000001", *(names.short(wish.deployment_id) for wish in wishes)])
    assert pages[0].seen[0].resources == [stray]
    await upkeep.remove_orphan(stray)
    assert sum([len(page.seen) async for page in upkeep.observe_all()]) == 25
