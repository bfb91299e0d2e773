"""The watch: what happens to a deployment is known at once, and what we do ourselves is nobody's news."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from tests.temporal_server import TemporalServer
from tests.workflows.test_given_up import serving
from tests.workflows.yard import Yard, until
from worker.schedules import keep_watch
from workflows import names
from workflows.accounts import Finder
from workflows.mending import State
from workflows.shapes import RevisionStatus


@asynccontextmanager
async def watched(yard: Yard) -> AsyncIterator[None]:
    await keep_watch(yard.client, yard.plane.name)

    async def begun() -> bool:
        return yard.memory.calls["watch"] > 0

    await until(begun)
    yield
    await yard.client.get_workflow_handle(names.watch_workflow(yard.plane.name)).terminate()


async def test_a_server_that_is_gone_is_there_again(yard: Yard) -> None:
    async with watched(yard):
        row = await serving(yard)
        await yard.settled(row)
        assert yard.memory.calls["sight"] == 0
        yard.memory.injuries.lose_replica(row.id)
        await yard.standing(row, State.STEADY)
        (found,) = await yard.drifts(row)
        assert found.found_by is Finder.WATCH
        assert (yard.running(row), yard.memory.serving[row.id]) == ([1], 1)
        await yard.settled(row)
        assert yard.memory.calls["sight"] == 2


async def test_a_deployment_that_does_not_run_is_left_to_the_sweep(yard: Yard) -> None:
    async with watched(yard):
        row = await serving(yard)
        await yard.entity(row.id).terminate("somebody did this by hand")
        yard.memory.injuries.lose_route(row.id)
        other = await serving(yard)
        yard.memory.injuries.lose_route(other.id)
        await yard.standing(other, State.STEADY)
        assert row.id not in yard.memory.serving
        await yard.sweep()
        await yard.standing(row, State.STEADY)


async def test_it_resumes_after_its_worker_is_gone(idle_yard: Yard) -> None:
    yard = idle_yard
    async with yard.working():
        await keep_watch(yard.client, yard.plane.name)
        row = await serving(yard)
    yard.memory.injuries.lose_replica(row.id)
    async with yard.working():
        await yard.standing(row, State.STEADY)
        assert yard.memory.calls["watch"] >= 2


async def test_two_workers_of_each_role_do_everything_once(
    idle_yard: Yard, temporal_server: TemporalServer
) -> None:
    yard = idle_yard
    other = await Client.connect(temporal_server.address, data_converter=pydantic_data_converter)
    async with yard.working(), yard.working(client=other), watched(yard):
        rows = await asyncio.gather(*(yard.deploy(str(index).encode()) for index in range(4)))
        for row in rows:
            assert await yard.ended(row, 1) is RevisionStatus.DEPLOYED
        for row in rows:
            yard.memory.injuries.lose_replica(row.id)
        for row in rows:
            await yard.standing(row, State.STEADY)
        for row in rows:
            assert yard.running(row) == [1]
            assert len(await yard.drifts(row)) == 1
    assert yard.memory.calls["switch"] == 4
    assert yard.memory.calls["watch"] == 1
    assert yard.memory.calls["repair"] == 4
