"""Nudges: the right workflow, signalled and started; and a Temporal that is away costs nobody anything."""

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from uuid import uuid4

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from api.meters import Meters
from api.nudge import Nudger
from tests.api.conftest import Yard, built
from workflows import names
from workflows.accounts import Finder, Notice

SOON = 6.0
"""A nudge gives up after two seconds; left to itself, Temporal's client goes on for much longer."""


def _failed(meters: Meters) -> float:
    return meters.registry.get_sample_value("graphyard_nudges_failed_total") or 0.0


@pytest.fixture
async def temporal(tmp_path: Path) -> AsyncIterator[Client]:
    """A Temporal server that knows our search attributes."""
    async with await WorkflowEnvironment.start_local(
        data_converter=pydantic_data_converter,
        dev_server_existing_path=str(Path(sys.executable).parent / "temporal"),
        dev_server_log_level="error",
        search_attributes=names.SEARCH_ATTRIBUTES,
    ) as environment:
        yield environment.client


async def test_a_nudge_starts_the_workflow_and_signals_it(temporal: Client) -> None:
    meters, deployment_id = Meters(), uuid4()

    async def connect() -> Client:
        return temporal

    nudger = Nudger(connect, meters)
    nudger.start()
    await asyncio.sleep(0)
    assert await nudger.reachable()
    for _ in range(3):
        await nudger.look(deployment_id, plane="local", workspace="default", name="agent")
    await nudger.stop()
    assert _failed(meters) == 0
    handle = temporal.get_workflow_handle(names.deployment_workflow(deployment_id))
    seen = await handle.describe()
    assert (seen.workflow_type, seen.task_queue) == ("Deployment", names.CONTROL)
    assert seen.typed_search_attributes[names.NAME] == "agent"
    assert seen.typed_search_attributes[names.TENANT] == "default"
    assert await seen.static_summary() == "default/agent"
    history = await handle.fetch_history()
    kinds = [event.event_type for event in history.events]
    signals = [
        event.workflow_execution_signaled_event_attributes
        for event in history.events
        if event.HasField("workflow_execution_signaled_event_attributes")
    ]
    assert [signal.signal_name for signal in signals] == ["look"] * 3
    assert len(kinds) == 5, "started, three signals, one task"


async def test_a_nudge_may_ask_for_a_look_at_the_plane(temporal: Client) -> None:
    """Of a workflow that does not run yet, too."""
    deployment_id = uuid4()

    async def connect() -> Client:
        return temporal

    nudger = Nudger(connect, Meters())
    nudger.start()
    await asyncio.sleep(0)
    notice = Notice(by=Finder.SWEEP, at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    about = {"plane": "local", "workspace": "default", "name": "agent"}
    assert await nudger.inspect(deployment_id, notice, **about)
    assert await nudger.look(deployment_id, **about)
    await nudger.stop()
    handle = temporal.get_workflow_handle(names.deployment_workflow(deployment_id))
    seen = await handle.describe()
    assert (seen.workflow_type, seen.task_queue) == ("Deployment", names.CONTROL)
    assert seen.typed_search_attributes[names.NAME] == "agent"
    assert seen.typed_search_attributes[names.TENANT] == "default"
    signals = [
        event.workflow_execution_signaled_event_attributes
        for event in (await handle.fetch_history()).events
        if event.HasField("workflow_execution_signaled_event_attributes")
    ]
    assert [signal.signal_name for signal in signals] == ["inspect", "look"]
    told = await temporal.data_converter.decode(signals[0].input.payloads, [Notice])
    assert told == [notice]


async def test_a_wish_is_taken_while_temporal_is_away(yard: Yard) -> None:
    async with asyncio.timeout(SOON):
        assert (await yard.client.post("/v2/deployments", json=built("agent"))).status_code == 201
    assert _failed(yard.parts.meters) == 1


async def test_a_temporal_that_hangs_holds_nobody_up() -> None:
    """It takes the connection and never says a word."""
    silent = await asyncio.start_server(lambda *_: asyncio.sleep(60), "127.0.0.1", 0)
    address = f"127.0.0.1:{silent.sockets[0].getsockname()[1]}"
    meters = Meters()
    nudger = Nudger(
        lambda: Client.connect(address, data_converter=pydantic_data_converter, lazy=True), meters
    )
    nudger.start()
    await asyncio.sleep(0)
    for step in (nudger.look(uuid4(), plane="local", workspace="default", name="agent"), nudger.reachable()):
        started = monotonic()
        async with asyncio.timeout(SOON):
            assert not await step
        assert monotonic() - started > 1.5
    assert _failed(meters) == 1
    await nudger.stop()
    silent.close()
