"""An answer begins when it has something to say."""

import asyncio
import contextlib
from typing import Any


class Holding:
    """An ASGI app around one that begins answers of unknown length long before it has them, as those that wait for a
    run: the beginning goes out with the first word.

    A proxy written in Go (Traefik, Caddy) looks once more for what a request's body may have beyond its length. Where a
    busy machine lets it do so only after the answer has begun, it takes that for an error and cuts the answer off,
    which Traefik tells its caller as one that is whole and empty (golang/go#40747, traefik/traefik#11767; here one in
    150 with twice as much work as cores). The time between beginning and end is the time in which that can happen.
    """

    def __init__(self, app: Any, seconds: float = 1.0) -> None:
        """`seconds`: no longer, for some callers want the headers before the result."""
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        held: list[Any] = []
        turn = asyncio.Lock()

        async def let_go() -> None:
            async with turn:
                if held:
                    await send(held.pop())

        async def let_go_late() -> None:
            await asyncio.sleep(self._seconds)
            await let_go()

        async def said(message: Any) -> None:
            if message["type"] == "http.response.start" and _awaited(message):
                held.append(message)
                late.append(asyncio.create_task(let_go_late()))
                return
            await let_go()
            await send(message)

        late: list[asyncio.Task[None]] = []
        try:
            await self._app(scope, receive, said)
        finally:
            for task in late:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task


def _awaited(start: Any) -> bool:
    """Whether what follows may take its time, and nobody reads it bit by bit."""
    headers = {name.lower(): value for name, value in start.get("headers", ())}
    return (
        headers.get(b"content-type", b"").startswith(b"application/json") and b"content-length" not in headers
    )
