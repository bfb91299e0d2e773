"""A network between a client and a server that tests can spoil: it stalls, refuses, cuts and drags.

Stalling is the worst of these: both ends stay connected, what is sent is taken, and nothing ever arrives.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Self

from psycopg import conninfo

Spy = Callable[[bytes], bool]
"""Whether the network goes dead before these bytes reach the client; they come from the server."""


class Proxy:
    """Passes bytes on from a port of its own, `at` an address of this machine, to somewhere else, as long as it is told
    nothing else. One that `shows` who it is speaks TLS with its clients."""

    def __init__(
        self, host: str, port: int, *, at: str = "127.0.0.1", shows: ssl.SSLContext | None = None
    ) -> None:
        self._to = host, port
        self._at = at
        self._shows = shows
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._spy: Spy | None = None
        self.delay = 0.0
        """Seconds for each piece of an answer on its way back."""
        self.port = 0

    @property
    def address(self) -> str:
        return f"{self._at}:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, or listen again; where the port is known it stays."""
        if self._server is not None:
            return
        self._server = await asyncio.start_server(self._taken, self._at, self.port, ssl=self._shows)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        await self.refuse()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def stall(self) -> None:
        """Nothing passes any more, neither on new connections nor on old ones, and nobody is told."""
        self._flowing.clear()

    def stall_before(self, spy: Spy) -> None:
        """Likewise, from the answer on that the spy knows; the server has said it, and nobody hears."""
        self._spy = spy

    def flow(self) -> None:
        self._spy = None
        self._flowing.set()

    def cut(self) -> None:
        """Every connection ends; new ones may be made."""
        for writer in self._open:
            writer.transport.abort()

    async def refuse(self) -> None:
        """Every connection ends, and nobody listens any more."""
        if self._server is not None:
            self._server.close()
            self.cut()
            await self._server.wait_closed()
            self._server = None

    async def _taken(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._open.add(writer)
        try:
            await self._flowing.wait()
            far_reader, far_writer = await asyncio.open_connection(*self._to)
            self._open.add(far_writer)
            try:
                await self._both(reader, writer, far_reader, far_writer)
            finally:
                self._open.discard(far_writer)
                far_writer.transport.abort()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(writer)
            self._tasks.discard(task)
            writer.transport.abort()

    async def _both(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        far_reader: asyncio.StreamReader,
        far_writer: asyncio.StreamWriter,
    ) -> None:
        there = asyncio.create_task(self._pass_on(reader, far_writer, back=False))
        back = asyncio.create_task(self._pass_on(far_reader, writer, back=True))
        try:
            await asyncio.wait([there, back], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (there, back):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, OSError):
                    await task

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, back: bool
    ) -> None:
        while piece := await reader.read(65536):
            if back and self._spy is not None and self._spy(piece):
                self.stall()
            if back and self.delay:
                await asyncio.sleep(self.delay)
            await self._flowing.wait()
            writer.write(piece)
            await writer.drain()


@asynccontextmanager
async def between(dsn: str) -> AsyncIterator[tuple[Proxy, str]]:
    """A proxy before a Postgres server, and the address of the same database through it."""
    parts = conninfo.conninfo_to_dict(dsn)
    head, _, database = dsn.rpartition("/")
    account, _, _ = head.rpartition("@")
    async with Proxy(str(parts["host"]), int(str(parts["port"]))) as proxy:
        yield proxy, f"{account}@{proxy.address}/{database}"
