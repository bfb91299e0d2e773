"""One connection to Postgres that is kept open for looking, because whoever watches asks every second."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from psycopg import AsyncConnection, OperationalError

T = TypeVar("T")


class Kept:
    """A connection that is made when it is first needed and again after it broke. For reading only: what is
    asked may be asked twice."""

    def __init__(self, dsn: str, *, patience: float = 10) -> None:
        self._dsn = dsn
        self._patience = patience
        self._connection: AsyncConnection | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn = asyncio.Lock()

    async def ask(self, question: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """The answer to one question. Raises when the server is away or takes too long."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            # What another event loop left behind cannot be used in this one.
            self._drop()
            self._loop, self._turn = loop, asyncio.Lock()
        async with self._turn, asyncio.timeout(self._patience):
            fresh = self._connection is None
            try:
                return await self._asked(question)
            except OperationalError:
                # A server that was started anew has ended what was kept, which shows only now.
                if fresh:
                    raise
            return await self._asked(question)

    async def close(self) -> None:
        """Give the connection back."""
        self._drop()

    async def _asked(self, question: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        if self._connection is None:
            self._connection = await AsyncConnection.connect(
                self._dsn,
                autocommit=True,
                connect_timeout=10,
                application_name="graphyard",
                options="-c search_path=pg_catalog",
            )
        try:
            return await question(self._connection)
        except BaseException:
            # Also when given up on: an answer that still comes would be taken for the next one's.
            self._drop()
            raise

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.pgconn.finish()
        self._connection = None
