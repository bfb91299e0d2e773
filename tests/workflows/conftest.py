"""One Temporal for the session, a yard of its own for every test."""

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from records.session import connect, sessions
from tests.temporal_server import TemporalServer
from tests.workflows.ward import Ward
from tests.workflows.yard import Yard
from workflows.names import SEARCH_ATTRIBUTES

KEYWORD = "INDEXED_VALUE_TYPE_KEYWORD"


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
async def skipping() -> AsyncIterator[WorkflowEnvironment]:
    """A server whose clock a test can skip."""
    async with await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=str(Path(sys.executable).parent / "temporal-test-server"),
        data_converter=pydantic_data_converter,
    ) as environment:
        keywords = dict.fromkeys([one.name for one in SEARCH_ATTRIBUTES], IndexedValueType.Value(KEYWORD))
        request = AddSearchAttributesRequest(search_attributes=keywords)
        await environment.client.operator_service.add_search_attributes(request)
        yield environment


@pytest.fixture
async def idle_ward(skipping: WorkflowEnvironment) -> Ward:
    """A ward whose workers a test starts itself."""
    return Ward(skipping.client, skipping)


@pytest.fixture
async def ward(idle_ward: Ward) -> AsyncIterator[Ward]:
    """A ward with both workers at work."""
    async with idle_ward.working():
        yield idle_ward
