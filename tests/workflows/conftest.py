"""One Temporal for the session, a yard of its own for every test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from records.session import connect, sessions
from tests.temporal_server import TemporalServer, skipping
from tests.workflows.ward import Ward
from tests.workflows.yard import Yard


@pytest.fixture(scope="session")
def temporal_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TemporalServer]:
    server = TemporalServer(tmp_path_factory.mktemp("temporal") / "temporal.log")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def forgetful_server(tmp_path: Path) -> Iterator[TemporalServer]:
    """A server that finds histories of forty events long."""
    config = {"limit.historyCount.suggestContinueAsNew": 40}
    server = TemporalServer(tmp_path / "temporal.log", config=config)
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def client(temporal_server: TemporalServer) -> Client:
    return await Client.connect(temporal_server.address, data_converter=pydantic_data_converter)


@pytest.fixture
async def idle_yard(client: Client, database: str) -> AsyncIterator[Yard]:
    """A yard nobody works in yet."""
    engine = connect(database)
    yard = Yard(client, sessions(engine))
    yield yard
    await yard.end()
    await engine.dispose()


@pytest.fixture
async def yard(idle_yard: Yard) -> AsyncIterator[Yard]:
    """A yard with both workers at work."""
    async with idle_yard.working():
        yield idle_yard


@pytest.fixture
async def skipping_server() -> AsyncIterator[WorkflowEnvironment]:
    async with skipping() as environment:
        yield environment


@pytest.fixture
async def idle_ward(skipping_server: WorkflowEnvironment) -> Ward:
    """A ward whose workers a test starts itself."""
    return Ward(skipping_server.client, skipping_server)


@pytest.fixture
async def ward(idle_ward: Ward) -> AsyncIterator[Ward]:
    """A ward with both workers at work."""
    async with idle_ward.working():
        yield idle_ward
