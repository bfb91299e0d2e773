"""The plane steps over a plane that remembers: thin, so there is little that could be wrong with them."""

import asyncio
import inspect

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.control.records import RecordSteps
from activities.plane.steps import PortSteps
from dataplane.memory import Memory
from tests.surveys import Nobody
from tests.wishes import a_wish, an_archive
from worker.queues import bound
from workflows.causes import Code, Refused
from workflows.shapes import Keep, ResourceKind
from workflows.steps import ControlSteps, PlaneSteps


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def steps(memory: Memory) -> PortSteps:
    return PortSteps(memory.plane(), surveys=Nobody(), notify=Nobody().hear)


async def test_the_whole_story(steps: PortSteps, memory: Memory) -> None:
    run, wish = ActivityEnvironment().run, a_wish(archive=an_archive())
    assert (await run(steps.preflight, wish)).graphs == ["echo"]
    image = await run(steps.build, wish)
    wish = wish.model_copy(update={"image": image.digest})
    for step in (steps.provision, steps.apply, steps.await_ready, steps.prove, steps.switch, steps.retire):
        await run(step, wish)
    assert memory.serving == {wish.deployment_id: 1}
    assert await run(steps.collect_images, Keep(plane="local", digests=[image.digest])) == 0
    memory.fresh.clear()
    assert await run(steps.collect_images, Keep(plane="local", digests=[])) == 1
    await run(steps.discard, wish)
    assert memory.serving == {}
    memory.stubborn.add(wish.deployment_id)
    left = (await run(steps.remove, wish)).left
    assert {one.kind for one in left} == {ResourceKind.DATABASE, ResourceKind.ROLE, ResourceKind.REDIS}
    memory.stubborn.clear()
    assert (await run(steps.remove, wish)).left == []


async def test_a_refusal_says_what_kind(steps: PortSteps, memory: Memory) -> None:
    memory.fail("build", Refused(Code.DISK_FULL, "No space is left."))
    with pytest.raises(ApplicationError) as caught:
        await ActivityEnvironment().run(steps.build, a_wish(archive=an_archive()))
    assert (caught.value.type, caught.value.non_retryable) == ("DiskFull", True)


async def test_a_watch_ends_with_its_worker(steps: PortSteps, memory: Memory) -> None:
    environment = ActivityEnvironment()
    watching = asyncio.create_task(environment.run(steps.watch, "local"))
    while not memory.calls["watch"]:
        await asyncio.sleep(0.01)
    assert not watching.done()
    environment.worker_shutdown()
    async with asyncio.timeout(1):
        await watching


async def test_a_watch_that_breaks_says_so(steps: PortSteps, memory: Memory) -> None:
    memory.fail("watch", ConnectionError("the plane is away"))
    with pytest.raises(ApplicationError, match="the plane is away"):
        await ActivityEnvironment().run(steps.watch, "local")


@pytest.mark.parametrize(
    ("declared", "done"), [(PlaneSteps, PortSteps), (ControlSteps, RecordSteps)], ids=["plane", "control"]
)
def test_every_declared_step_is_done(declared: type, done: type) -> None:
    """Also as an activity: an override without the decorator would be registered under no name."""
    abstract = [name for name, one in vars(declared).items() if inspect.iscoroutinefunction(one)]
    found = bound(object.__new__(done), declared)
    assert sorted(one.__name__ for one in found) == sorted(abstract)
    assert all(hasattr(one, "__temporal_activity_definition") for one in found)
