"""What exists of one deployment, counted by looking at the machine and at Postgres, never at our own
records.
"""

from collections.abc import Callable
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


async def _count(connection: psycopg.AsyncConnection[tuple[int]], query: str, like: str) -> int:
    row = await (await connection.execute(query.encode(), (like,))).fetchone()
    assert row is not None
    return row[0]


def valkeys(home: Path, short: str) -> list[int]:
    """Living Valkey processes of a deployment; a zombie that pid 1 has not reaped is not one."""
    return _living(
        lambda line: "valkey-server" in line[0] and any(f"{home}" in part and short in part for part in line)
    )


def servers(home: Path, short: str) -> list[int]:
    """Living server processes of a deployment, by the socket each listens on."""
    return _living(lambda line: any(part.startswith(f"{home}/run/rev/{short}-") for part in line))


def _living(matches: Callable[[list[str]], bool]) -> list[int]:
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = process.info["cmdline"]
        if line and process.info["status"] != psutil.STATUS_ZOMBIE and matches(line):
            found.append(process.pid)
    return found
