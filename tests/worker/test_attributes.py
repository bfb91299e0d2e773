"""A Temporal that nobody prepared for us gets our search attributes, if it lets us make them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError, RPCStatusCode

from tests.temporal_server import TemporalServer
from worker.attributes import see_to_attributes
from workflows import names


@pytest.fixture
def unprepared(tmp_path: Path) -> Iterator[TemporalServer]:
    server = TemporalServer(tmp_path / "temporal.log", attributes=False)
    server.start()
    yield server
    server.kill()


async def test_what_is_missing_is_made(unprepared: TemporalServer) -> None:
    client = await Client.connect(unprepared.address, data_converter=pydantic_data_converter)
    wanted = [one.name for one in names.SEARCH_ATTRIBUTES]
    assert await see_to_attributes(client) == wanted
    assert await see_to_attributes(client) == []


async def test_one_that_lets_nobody_is_told_of(
    unprepared: TemporalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await Client.connect(unprepared.address, data_converter=pydantic_data_converter)

    async def refuse(*_: object) -> None:
        raise RPCError("not for you", RPCStatusCode.PERMISSION_DENIED, b"")

    monkeypatch.setattr(client.operator_service, "add_search_attributes", refuse)
    with capture_logs() as told:
        assert await see_to_attributes(client) == []
    assert told[0]["names"] == [one.name for one in names.SEARCH_ATTRIBUTES]
    assert told[0]["error"] == "PERMISSION_DENIED"
