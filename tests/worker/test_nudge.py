"""Nudges of the worker: the same workflow, under the same names, as the api's."""

from datetime import UTC, datetime

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from records import workspace
from records.session import Sessions
from tests.rows import a_deployment
from tests.temporal_server import TemporalServer
from worker.notify import Notifier
from worker.nudge import Nudge
from workflows import names
from workflows.accounts import Finder, Notice


@pytest.fixture
async def client(temporal_server: TemporalServer) -> Client:
    temporal_server.start()
    return await Client.connect(temporal_server.address, data_converter=pydantic_data_converter)


async def test_it_signals_and_starts_under_the_names_the_api_gives(client: Client, ledger: Sessions) -> None:
    async with ledger.begin() as session:
        row = await a_deployment(session)
        owner = await workspace.get(session, row.workspace_id)
    assert owner is not None
    nudge, notice = Nudge(client, ledger), Notice(by=Finder.SWEEP, at=datetime.now(UTC))
    assert not await nudge.alive(row)
    await nudge(row)
    await nudge.inspect(row, notice)
    assert await nudge.alive(row)
    handle = client.get_workflow_handle(names.deployment_workflow(row.id))
    seen = await handle.describe()
    assert seen.typed_search_attributes.get(names.TENANT) == owner.name
    assert seen.typed_search_attributes.get(names.NAME) == row.name
    assert await seen.static_summary() == f"{owner.name}/{row.name}"
    await Notifier(client)(row.id, notice)
    signals = [
        event.workflow_execution_signaled_event_attributes.signal_name
        for event in (await handle.fetch_history()).events
        if event.HasField("workflow_execution_signaled_event_attributes")
    ]
    assert signals == ["look", "inspect", "inspect"]
    await handle.terminate()
    assert not await nudge.alive(row)
    # What does not run is not the watch's to start.
    await Notifier(client)(row.id, notice)
    assert not await nudge.alive(row)
