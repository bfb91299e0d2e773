"""The plane that remembers keeps every promise of a plane, and can be held and broken by a test."""

import asyncio
from uuid import uuid4

import pytest

from dataplane.memory import Memory
from dataplane.plane import Plane
from tests.dataplane.contract import MakeWish, PlaneContract, hear
from tests.wishes import a_wish, an_archive
from workflows.causes import Code, Refused
from workflows.shapes import Wish


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
