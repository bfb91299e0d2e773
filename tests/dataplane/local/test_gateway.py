"""A real Caddy with our one configuration, before small servers that say what reached them."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from dataplane.local.gateway import configuration
from dataplane.local.slots import Slots
from tests.stack import free_port

SHORT, SLUG = "0a1b2c3d", "my-agent-0a1b2c3d"


async def serve(path: Path, name: str, parts: AsyncExitStack) -> asyncio.Server:
    """A server that answers with its name, and the request line and headers it saw."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        body = json.dumps(
            {"name": name, "line": head[0], "headers": [line.lower() for line in head[1:]]}
        ).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s" % (len(body), body)
        )
        await writer.drain()
        writer.close()

    path.parent.mkdir(parents=True, exist_ok=True)
    server = await asyncio.start_unix_server(answer, path)
    parts.callback(server.close)
    return server


class Door:
    """The gateway of a home, and the servers behind it."""

    def __init__(self, home: Path, url: str, parts: AsyncExitStack) -> None:
        self.slots = Slots(home)
        self.slots.make()
        self.home = home
        self.url = url
        self._parts = parts

    async def replica(self, number: int, index: int = 0) -> asyncio.Server:
        return await serve(self.slots.socket(SHORT, number, index), f"{number}-{index}", self._parts)


@pytest.fixture
async def door(home: Path) -> AsyncIterator[Door]:
    port = free_port()
    config = home / "caddy.json"
    config.write_text(configuration(home, f"127.0.0.1:{port}", "/yard"))
    caddy = Path(sys.executable).parent / "caddy"
    async with AsyncExitStack() as parts:
        await serve(home / "run" / "api.sock", "api", parts)
        process = await asyncio.create_subprocess_exec(
            caddy, "run", "--config", config, env={"HOME": str(home)}, stderr=asyncio.subprocess.DEVNULL
        )
        made = Door(home, f"http://127.0.0.1:{port}", parts)
        async with asyncio.timeout(20), httpx.AsyncClient() as client:
            while True:
                try:
                    await client.get(made.url)
                    break
                except httpx.ConnectError:
                    await asyncio.sleep(0.02)
        yield made
        process.terminate()
        await process.wait()


async def get(url: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(timeout=10) as client:
        return await client.get(url, headers=headers)


@pytest.mark.parametrize("path", ["/", "/v2/deployments", "/d/", "/d/unknown", "/dx", "/yard/v2/deployments"])
async def test_all_but_deployments_is_the_api(door: Door, path: str) -> None:
    told = (await get(door.url + path)).json()
    assert told["name"] == "api"
    assert told["line"] == f"GET {path.removeprefix('/yard')} HTTP/1.1"


@pytest.mark.parametrize(
    "path", ["/internal", "/internal/v1/lines", "/INTERNAL/v1/lines", "//internal/v1/lines"]
)
async def test_the_internal_door_is_not_there(door: Door, path: str) -> None:
    assert (await get(door.url + path)).status_code == 404


async def test_an_unknown_deployment_is_told_at_once(door: Door) -> None:
    began = time.monotonic()
    answer = await get(f"{door.url}/d/{SLUG}/ok")
    assert answer.status_code == 404
    assert "deployment" in answer.json()["detail"]
    # Where a server is expected, it is waited for five seconds.
    assert time.monotonic() - began < 4


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        (f"/d/{SLUG}", "/"),
        (f"/d/{SLUG}/", "/"),
        (f"/d/{SLUG}/threads?limit=1", "/threads?limit=1"),
        (f"/yard/d/{SLUG}/ok", "/ok"),
        (f"/d/{SLUG}/a%2Fb", "/a%2Fb"),
    ],
)
async def test_a_server_sees_its_own_paths(door: Door, path: str, seen: str) -> None:
    await door.replica(1)
    door.slots.lead(SHORT, SLUG, 1, 1)
    told = (await get(door.url + path)).json()
    assert told["name"] == "1-0"
    assert told["line"] == f"GET {seen} HTTP/1.1"


async def test_secrets_of_the_plane_do_not_pass(door: Door) -> None:
    await door.replica(1)
    door.slots.lead(SHORT, SLUG, 1, 1)
    for url in (f"{door.url}/d/{SLUG}/x", f"{door.url}/x"):
        told = (await get(url, **{"X-Graphyard-Probe": "a", "X-Plane-Token": "b", "X-Api-Key": "c"})).json()
        names = {line.split(":")[0] for line in told["headers"]}
        assert "x-api-key" in names
        assert not names & {"x-graphyard-probe", "x-plane-token"}
    assert (await get(f"{door.url}/d/{SLUG}/graphyard/probe")).status_code == 404


async def test_replicas_share_and_stand_in_for_each_other(door: Door) -> None:
    for index in range(3):
        await door.replica(1, index)
    door.slots.lead(SHORT, SLUG, 1, 3)
    async with httpx.AsyncClient() as client:
        seen = [(await client.get(f"{door.url}/d/{SLUG}/")).json()["name"] for _ in range(24)]
        assert set(seen) == {"1-0", "1-1", "1-2"}
        door.slots.socket(SHORT, 1, 1).unlink()
        for _ in range(12):
            assert (await client.get(f"{door.url}/d/{SLUG}/")).json()["name"] in ("1-0", "1-2")


async def test_a_switch_is_at_once_and_for_kept_connections_too(door: Door) -> None:
    for number in (1, 2):
        await door.replica(number)
    async with httpx.AsyncClient() as client:
        for number in (1, 2, 1, 2):
            door.slots.lead(SHORT, SLUG, number, 1)
            for _ in range(8):
                assert (await client.get(f"{door.url}/d/{SLUG}/")).json()["name"] == f"{number}-0"


async def test_a_server_that_comes_back_soon_is_waited_for(door: Door) -> None:
    door.slots.lead(SHORT, SLUG, 1, 1)
    asking = asyncio.create_task(get(f"{door.url}/d/{SLUG}/"))
    await asyncio.sleep(0.5)
    await door.replica(1)
    assert (await asking).json()["name"] == "1-0"


async def test_a_server_that_is_down_is_told_in_json(door: Door) -> None:
    door.slots.lead(SHORT, SLUG, 1, 1)
    answer = await get(f"{door.url}/d/{SLUG}/")
    assert answer.status_code in (502, 503)
    assert "does not answer" in answer.json()["detail"]
