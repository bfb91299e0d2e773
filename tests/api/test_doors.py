"""The api on addresses: callers come through one door, planes through another, and neither leads to both."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from socket import socket

import httpx
import pytest

from activities.plane.reports import client
from api.doors import bound
from settings import Settings
from tests.api.conftest import NOBODY


def free_port() -> int:
    with socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture
async def ports(settings: Settings) -> AsyncIterator[tuple[int, int]]:
    """Of an api in a process of its own: callers', planes'."""
    callers, planes = free_port(), free_port()
    environment = {
        **os.environ,
        "GRAPHYARD_HOME": str(settings.home),
        "GRAPHYARD_DATABASE_URL": settings.database_url.get_secret_value(),
        "GRAPHYARD_SEALING_KEYS": str(settings.sealing_keys),
        "GRAPHYARD_TEMPORAL_ADDRESS": NOBODY,
        "GRAPHYARD_API_SOCKET": str(settings.api_socket),
        "GRAPHYARD_PLANE_TOKEN": "plane-token",
        "GRAPHYARD_API_LISTEN": f"127.0.0.1:{callers}",
        "GRAPHYARD_INTERNAL_LISTEN": f":{planes}",
    }
    argv = [sys.executable, "-m", "deploy.cli", "api"]
    process = subprocess.Popen(argv, env=environment, cwd=Path(__file__).parents[2])
    try:
        async with asyncio.timeout(30), httpx.AsyncClient(trust_env=False) as asking:
            while True:
                try:
                    await asking.get(f"http://127.0.0.1:{planes}/health")
                except httpx.TransportError:
                    assert process.poll() is None
                    await asyncio.sleep(0.05)
                else:
                    break
        yield callers, planes
        assert not settings.api_socket.exists()
    finally:
        process.terminate()
        assert process.wait(20) in (0, -signal.SIGTERM), "uvicorn ends by the signal it was told with"


async def test_two_doors(ports: tuple[int, int]) -> None:
    callers, planes = ports
    beat = {"plane": "east", "kind": "kubernetes"}
    async with (
        client(f"http://127.0.0.1:{callers}", "plane-token") as outside,
        client(f"http://127.0.0.1:{planes}", "plane-token") as inside,
    ):
        assert (await inside.post("/internal/v1/beats", json=beat)).status_code == 204
        for path in ("/internal/v1/beats", "/internal", "/internal/../internal/v1/beats"):
            assert (await outside.post(path, json=beat)).status_code == 404, path
        claim = {"Host": f"127.0.0.1:{planes}", "X-Forwarded-Host": "inside", "X-Forwarded-Port": str(planes)}
        assert (await outside.post("/internal/v1/beats", json=beat, headers=claim)).status_code == 404
        assert (await outside.get("/v2/deployments")).status_code == 401
        assert (await inside.get("/v2/deployments")).status_code == 404
        for both in (outside, inside):
            assert (await both.get("/health")).status_code == 200
            assert (await both.get("/ready")).json()["ready"] is True
        for path in ("/metrics", "/api-host/metrics"):
            assert (await outside.get(path)).status_code == 404, path
        assert "graphyard_database_up 1.0" in (await inside.get("/metrics")).text
        wrong = await inside.post("/internal/v1/beats", json=beat, headers={"X-Plane-Token": "x"})
        assert wrong.status_code == 401


def test_an_address_without_a_host_is_every_address() -> None:
    with bound("127.0.0.1:0") as one, bound(":0") as all_of_them:
        assert one.getsockname()[0] == "127.0.0.1"
        assert all_of_them.getsockname()[0] in ("::", "0.0.0.0")
    with pytest.raises(ValueError, match="host:port"):
        bound("localhost")
