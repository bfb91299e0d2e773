"""The sweep's schedule: made once, put right when it differs, left alone otherwise."""

from datetime import timedelta

from temporalio.client import Client, ScheduleOverlapPolicy
from temporalio.contrib.pydantic import pydantic_data_converter

from tests.temporal_server import TemporalServer
from worker.schedules import keep_sweep
from workflows import names


async def test_it_is_kept(temporal_server: TemporalServer) -> None:
    temporal_server.start()
    client = await Client.connect(temporal_server.address, data_converter=pydantic_data_converter)
    handle = client.get_schedule_handle(names.sweep_schedule("local"))
    await keep_sweep(client, "local", timedelta(seconds=60))
    first = await handle.describe()
    assert first.schedule.policy.overlap is ScheduleOverlapPolicy.SKIP
    assert first.schedule.spec.intervals[0].every == timedelta(seconds=60)
    await keep_sweep(client, "local", timedelta(seconds=60))
    assert (await handle.describe()).info.last_updated_at == first.info.last_updated_at
    await keep_sweep(client, "local", timedelta(seconds=5))
    changed = await handle.describe()
    assert changed.schedule.spec.intervals[0].every == timedelta(seconds=5)
    await handle.delete()
