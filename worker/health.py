"""A worker's answer to whoever watches it: `/live` as long as its loop turns, `/ready` while it takes work,
`/metrics` of the process. A few lines on a socket: a worker that serves nobody needs no server.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

PATIENCE = 5.0
LONGEST = 8192


class Health:
    """What a worker is at; whoever changes that says so here."""

    def __init__(self) -> None:
        self.waiting = "its parts"
        """For what; empty once it works."""

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Status, type and body."""
        match path:
            case "/live":
                return 200, "text/plain", b"alive\n"
            case "/ready" if not self.waiting:
                return 200, "text/plain", b"ready\n"
            case "/ready":
                return 503, "text/plain", f"waiting for {self.waiting}\n".encode()
            case "/metrics":
                return 200, CONTENT_TYPE_LATEST, generate_latest()
            case _:
                return 404, "text/plain", b"there is /live, /ready and /metrics\n"


@asynccontextmanager
async def watched(health: Health, listen: str) -> AsyncIterator[int]:
    """Answer on `host:port` while the body runs; the port, which is a free one for 0. Empty: nowhere."""
    if not listen:
        yield 0
        return
    host, _, port = listen.rpartition(":")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
            async with asyncio.timeout(PATIENCE):
                await _talk(health, reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, host.strip("[]") or None, int(port), limit=LONGEST)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


async def _talk(health: Health, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    request = (await reader.readline()).decode("latin-1").split()
    while (await reader.readline()).strip():
        pass
    if len(request) < 2:
        return
    status, kind, body = health.answer(request[1].partition("?")[0])
    head = f"HTTP/1.1 {status} {'OK' if status == 200 else 'No'}\r\nContent-Type: {kind}\r\n"
    head += f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + (b"" if request[0] == "HEAD" else body))
    await writer.drain()
