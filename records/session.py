"""The way to the records: one engine a process, a session per transaction, and nobody waits for ever.

A server that was stopped, or a network that swallows everything, keeps its connections open and says nothing:
no error would ever come of that. So every wait has an end of its own, and the connection is broken then, for
nobody knows what state it is in.
"""

import asyncio
import socket
from typing import Any

from psycopg import AsyncConnection
from psycopg.abc import RV, PQGen
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

# Whoever imports only some nouns would flush rows whose foreign keys lead to tables nobody declared.
from records import tables as tables

Sessions = async_sessionmaker[AsyncSession]
PATIENCE = 60.0
FORSAKEN = 30
"""Seconds after which the server takes a transaction back, and its locks, that nobody goes on with."""
EARLIER = 0.25
"""The server gives a statement up a little sooner than we do: it knows why, and the connection stays whole."""


def dialed(database_url: str) -> str:
    """The address with our driver in it; any spelling of a Postgres DSN will do."""
    scheme, _, rest = database_url.partition("://")
    if scheme not in {"postgresql", "postgres", "postgresql+psycopg"}:
        raise ValueError(f"the records need a postgresql:// address, not {scheme}://")
    return f"postgresql+psycopg://{rest}"


def connect(
    database_url: str, *, pool: int = 10, overflow: int = 10, patience: float = PATIENCE
) -> AsyncEngine:
    """An engine that notices when the server was restarted under it, and that it does not answer. `patience`
    is how many seconds a statement may take."""
    url = make_url(dialed(database_url))
    limits = f"-c statement_timeout={round((patience - EARLIER) * 1000)}"
    limits += f" -c idle_in_transaction_session_timeout={FORSAKEN}s"
    asked = url.query.get("options", "")

    async def patiently(*args: Any, **options: Any) -> Patient:
        made = await Patient.connect(*args, **options)
        made.patience = patience
        return made

    return create_async_engine(
        url,
        pool_size=pool,
        max_overflow=overflow,
        pool_pre_ping=True,
        pool_timeout=min(patience, 10),
        connect_args={
            "async_creator_fn": patiently,
            "connect_timeout": max(2, min(5, int(patience))),
            "application_name": "graphyard",
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "options": f"{asked if isinstance(asked, str) else ' '.join(asked)} {limits}".strip(),
        },
        hide_parameters=True,
    )


def sessions(engine: AsyncEngine) -> Sessions:
    """Sessions whose rows stay readable after the commit."""
    return async_sessionmaker(engine, expire_on_commit=False)


class Patient(AsyncConnection[Any]):
    """A connection that breaks itself rather than wait longer than `patience` seconds."""

    patience = PATIENCE

    async def wait(self, gen: PQGen[RV], *args: Any, **options: Any) -> RV:
        # Cancelling would not do: psycopg then asks the silent server to cancel, and waits for its answer.
        end = asyncio.get_running_loop().call_later(self.patience, self._break)
        try:
            return await super().wait(gen, *args, **options)
        finally:
            end.cancel()

    async def _try_cancel(self, *, timeout: float = 5.0) -> None:
        await super()._try_cancel(timeout=min(timeout, 1.0))

    def _break(self) -> None:
        if self.closed:
            return
        with socket.socket(fileno=socket.dup(self.pgconn.socket)) as same:
            same.shutdown(socket.SHUT_RDWR)
