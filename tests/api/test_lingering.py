"""Whoever answers early does so once the request was heard to its end: the API and the servers of deployments."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from api.lingering import Lingering
from dataplane.local.entry.graphyard_lingering import Lingering as OfEntry

HEADERS = [(b"content-length", b"6")]
App = Callable[[Any, Any, Any], Awaitable[None]]
Makes = Callable[..., App]


@pytest.fixture(params=[Lingering, OfEntry], ids=["api", "entry"])
def lingering(request: pytest.FixtureRequest) -> Makes:
    made: Makes = request.param
    return made


class Connection:
    """What a server hands an app, and what came of it in its order. What is not there to be heard is waited for."""

    def __init__(self, *parts: bytes, whole: bool = True) -> None:
        self._parts = [*parts]
        self._whole = whole
        self.told: list[str] = []

    async def receive(self) -> dict[str, Any]:
        if not self._parts:
            await asyncio.Event().wait()
        part = self._parts.pop(0)
        self.told.append(part.decode())
        return {"type": "http.request", "body": part, "more_body": bool(self._parts) or not self._whole}

    async def send(self, message: dict[str, Any]) -> None:
        self.told.append(message["type"].rpartition(".")[2])

    async def through(self, app: App, headers: list[tuple[bytes, bytes]] = HEADERS) -> list[str]:
        async with asyncio.timeout(5):
            await app({"type": "http", "path": "/", "headers": headers}, self.receive, self.send)
        return self.told


async def refuses(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 401})
    await send({"type": "http.response.body", "body": b"no"})


async def reads_late(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200})
    heard = b""
    while True:
        message = await receive()
        heard += message["body"]
        if not message["more_body"]:
            break
    assert heard == b"onetwo"
    await send({"type": "http.response.body", "body": heard})


@pytest.mark.parametrize("app", [refuses, reads_late])
async def test_a_request_is_heard_before_it_is_answered(lingering: Makes, app: App) -> None:
    assert await Connection(b"one", b"two").through(lingering(app)) == ["one", "two", "start", "body"]


async def test_what_is_too_much_or_takes_too_long_is_not_waited_for(lingering: Makes) -> None:
    much = Connection(b"one", b"two", b"three")
    assert await much.through(lingering(refuses, most=4)) == ["one", "two", "start", "body"]
    slow = Connection(b"one", whole=False)
    assert await slow.through(lingering(refuses, seconds=0.05)) == ["one", "start", "body"]


@pytest.mark.parametrize(
    "headers", [[], [(b"content-length", b"0")], [*HEADERS, (b"expect", b"100-continue")]]
)
async def test_nothing_is_waited_for_where_nothing_comes(
    lingering: Makes, headers: list[tuple[bytes, bytes]]
) -> None:
    assert await Connection().through(lingering(refuses), headers) == ["start", "body"]
