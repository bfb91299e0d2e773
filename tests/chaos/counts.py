"""What exists of one deployment, counted by looking at the machine and at Postgres, never at our own
records.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import psutil
import psycopg

from tests.stack import Stack
from workflows import names


async def what_exists(stack: Stack, deployment: str) -> dict[str, int]:
    """Databases, roles, Valkey and server processes, and gateway routes of one deployment."""
    short = names.short(UUID(deployment))
    like = f"gy\\_%\\_{short}"
    async with await psycopg.AsyncConnection.connect(stack.postgres_admin_dsn, autocommit=True) as connection:
        databases = await _count(connection, "select count(*) from pg_database where datname like %s", like)
        roles = await _count(connection, "select count(*) from pg_roles where rolname like %s", like)
    return {
        "databases": databases,
        "roles": roles,
        "valkeys": len(valkeys(stack.home, short)),
        "servers": len(servers(stack.home, short)),
        "routes": len(list((stack.home / "run" / "up").glob(f"*{short}.on"))),
    }


async def until_counted(stack: Stack, deployment: str, wanted: dict[str, int], limit: float = 60) -> None:
    """Until that is what exists: a deployment serves before its older replicas have drained."""
    deadline = asyncio.get_running_loop().time() + limit
    while (found := await what_exists(stack, deployment)) != wanted:
        assert asyncio.get_running_loop().time() < deadline, f"{found} exist instead of {wanted}"
        await asyncio.sleep(0.2)


async def _count(connection: psycopg.AsyncConnection[tuple[int]], query: str, like: str) -> int:
    row = await (await connection.execute(query.encode(), (like,))).fetchone()
    assert row is not None
    return row[0]


def valkeys(home: Path, short: str) -> list[int]:
    """Living Valkey processes of a deployment, by the socket in their titles."""
    return _living(lambda found: any(f"{home}/run/redis/{short}" in word for word in found.cmdline()))


def servers(home: Path, short: str) -> list[int]:
    """Living server processes of a deployment, by the socket that each was told to listen on."""
    socket = f"{home}/run/rev/{short}-"
    return _living(lambda found: any(value.startswith(socket) for value in found.environ().values()))


def _living(matches: Callable[[psutil.Process], bool]) -> list[int]:
    """Processes that run; one that ended and was not reaped is not one, nor is one that ends meanwhile."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
            if process.status() != psutil.STATUS_ZOMBIE and matches(process):
                found.append(process.pid)
    return found
