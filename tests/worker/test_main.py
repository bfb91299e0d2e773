"""The worker's own life: it waits for what is not up, outlives what goes away, and stops when told."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from pydantic import SecretStr
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError

from settings import Settings
from tests.temporal_server import TemporalServer
from worker.main import Role, run
from workflows import names
from workflows.deployment import Deployment
from workflows.shapes import Entity


@asynccontextmanager
async def running(settings: Settings, role: Role = Role.BOTH) -> AsyncIterator[asyncio.Event]:
    """A worker beside the test; the event stops it."""
    stop = asyncio.Event()
    task = asyncio.create_task(run(settings, stop, role=role))
    try:
        yield stop
        assert not task.done()
    finally:
        stop.set()
        async with asyncio.timeout(20):
            await task


async def client(server: TemporalServer) -> Client:
    return await Client.connect(server.address, data_converter=pydantic_data_converter)


async def answered(server: TemporalServer) -> None:
    """Something for the worker to do, done only by one that works: a look at a deployment there is not."""
    to, nobody = await client(server), uuid4()
    async with asyncio.timeout(60):
        await to.execute_workflow(
            Deployment.run,
            Entity(deployment_id=nobody),
            id=names.deployment_workflow(nobody),
            task_queue=names.CONTROL,
        )


async def test_it_waits_for_temporal(settings: Settings, temporal_server: TemporalServer) -> None:
    async with running(settings):
        await asyncio.sleep(0.3)
        temporal_server.start()
        await answered(temporal_server)


async def test_it_outlives_temporal(settings: Settings, temporal_server: TemporalServer) -> None:
    temporal_server.start()
    async with running(settings):
        await answered(temporal_server)
        temporal_server.kill()
        await asyncio.sleep(1)
        temporal_server.start()
        await answered(temporal_server)


async def test_told_to_stop_while_waiting_it_stops(
    settings: Settings, temporal_server: TemporalServer
) -> None:
    async with asyncio.timeout(5):
        async with running(settings):
            await asyncio.sleep(0.2)


async def test_records_that_are_away_are_waited_for(
    with_settings: Callable[..., Settings], temporal_server: TemporalServer
) -> None:
    temporal_server.start()
    nowhere = with_settings(database_url=SecretStr("postgresql://nobody@127.0.0.1:1/nothing"))
    async with asyncio.timeout(10):
        async with running(nowhere):
            await asyncio.sleep(0.5)


async def test_it_stops_by_signal(settings: Settings, temporal_server: TemporalServer) -> None:
    temporal_server.start()
    task = asyncio.create_task(run(settings))
    await answered(temporal_server)
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(20):
        await task


async def test_it_sees_to_the_sweep(settings: Settings, temporal_server: TemporalServer) -> None:
    temporal_server.start()
    async with running(settings):
        handle = (await client(temporal_server)).get_schedule_handle(names.sweep_schedule("local"))
        async with asyncio.timeout(20):
            while True:
                try:
                    seen = await handle.describe()
                except RPCError:
                    await asyncio.sleep(0.05)
                else:
                    break
        assert seen.schedule.spec.intervals[0].every.total_seconds() == settings.sweep_seconds


async def test_it_sees_to_the_watch(settings: Settings, temporal_server: TemporalServer) -> None:
    temporal_server.start()
    async with running(settings):
        handle = (await client(temporal_server)).get_workflow_handle(names.watch_workflow("local"))
        async with asyncio.timeout(20):
            while True:
                try:
                    seen = await handle.describe()
                except RPCError:
                    await asyncio.sleep(0.05)
                else:
                    break
        assert seen.status is WorkflowExecutionStatus.RUNNING


async def test_keys_that_are_not_there_end_it(with_settings: Callable[..., Settings]) -> None:
    missing = with_settings(sealing_keys=with_settings().home / "no.keys")
    with pytest.raises(FileNotFoundError):
        await run(missing, asyncio.Event())
