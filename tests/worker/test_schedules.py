"""The sweep's schedule and the watch: made once, put right when they differ, left alone otherwise."""

import asyncio
from datetime import timedelta

import pytest
from temporalio.client import Client, ScheduleOverlapPolicy, WorkflowExecutionStatus
from temporalio.contrib.pydantic import pydantic_data_converter

from tests.temporal_server import TemporalServer
from worker import schedules
from worker.schedules import PAUSED, keep_sweep, keep_watch
from workflows import names

MINUTE = timedelta(seconds=60)
NEVER = timedelta(0)


@pytest.fixture
async def client(temporal_server: TemporalServer) -> Client:
    temporal_server.start()
    return await Client.connect(temporal_server.address, data_converter=pydantic_data_converter)


async def test_it_is_kept(client: Client) -> None:
    handle = client.get_schedule_handle(names.sweep_schedule("local"))
    await keep_sweep(client, "local", MINUTE)
    first = await handle.describe()
    assert first.schedule.policy.overlap is ScheduleOverlapPolicy.SKIP
    assert first.schedule.spec.intervals[0].every == MINUTE
    await keep_sweep(client, "local", MINUTE)
    assert (await handle.describe()).info.last_updated_at == first.info.last_updated_at
    await keep_sweep(client, "local", timedelta(seconds=5))
    changed = await handle.describe()
    assert changed.schedule.spec.intervals[0].every == timedelta(seconds=5)


async def test_it_is_paused_and_goes_on(client: Client) -> None:
    handle = client.get_schedule_handle(names.sweep_schedule("local"))
    for _ in range(2):
        await keep_sweep(client, "local", NEVER)
        state = (await handle.describe()).schedule.state
        assert (state.paused, state.note) == (True, PAUSED)
    await keep_sweep(client, "local", MINUTE)
    assert not (await handle.describe()).schedule.state.paused
    await keep_sweep(client, "local", NEVER)
    assert (await handle.describe()).schedule.state.paused


async def test_what_a_person_paused_stays_paused(client: Client) -> None:
    handle = client.get_schedule_handle(names.sweep_schedule("local"))
    await keep_sweep(client, "local", MINUTE)
    await handle.pause(note="the machine moves")
    await keep_sweep(client, "local", timedelta(seconds=5))
    seen = (await handle.describe()).schedule
    assert (seen.state.paused, seen.state.note) == (True, "the machine moves")
    assert seen.spec.intervals[0].every == timedelta(seconds=5)
    await handle.unpause(note="it stands")
    await keep_sweep(client, "local", NEVER)
    assert (await handle.describe()).schedule.state.note == PAUSED


async def test_a_schedule_of_an_earlier_release_says_what_it_does_now(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = client.get_schedule_handle(names.sweep_schedule("local"))
    with monkeypatch.context() as earlier:
        earlier.setattr(schedules, "summary", lambda plane: "wishes that nobody moved")
        await keep_sweep(client, "local", MINUTE)
    await keep_sweep(client, "local", MINUTE)
    updated = (await handle.describe()).info.last_updated_at
    assert updated is not None
    await keep_sweep(client, "local", MINUTE)
    assert (await handle.describe()).info.last_updated_at == updated


async def test_two_workers_make_one_of_each(client: Client) -> None:
    async def both() -> None:
        await keep_sweep(client, "local", MINUTE)
        await keep_watch(client, "local")

    await asyncio.gather(*(both() for _ in range(5)))
    assert len([one async for one in await client.list_schedules()]) <= 1
    first = await client.get_workflow_handle(names.watch_workflow("local")).describe()
    await keep_watch(client, "local")
    again = await client.get_workflow_handle(names.watch_workflow("local")).describe()
    assert again.run_id == first.run_id


async def test_a_watch_that_was_terminated_is_begun_again(client: Client) -> None:
    handle = client.get_workflow_handle(names.watch_workflow("local"))
    await keep_watch(client, "local")
    await handle.terminate("somebody did this by hand")
    await keep_watch(client, "local")
    assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING
