"""Things with names like ours that no record owns: each made as a crash, a restored backup or a person might
leave it behind. Every function leaves one thing and answers the name it is listed under as an orphan."""

import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from dataplane.local.programs import Program
from tests.drift.patient import Patient
from workflows import names


@dataclass(frozen=True)
class Ghost:
    """A deployment that is no more, or never was."""

    name: str
    id: UUID
    hands: Patient

    @property
    def short(self) -> str:
        return names.short(self.id)


Leave = Callable[[Ghost], Awaitable[str]]


async def a_database(ghost: Ghost) -> str:
    name = names.database(ghost.name, ghost.id)
    await ghost.hands.sql(f'create database "{name}"')
    return name


async def a_role(ghost: Ghost) -> str:
    name = names.database(ghost.name, ghost.id)
    await ghost.hands.sql(f'create role "{name}" login')
    return name


async def a_process(ghost: Ghost) -> str:
    """Which nobody supervises."""
    socket = ghost.hands.home / "run" / "rev" / f"{ghost.short}-1-1.sock"
    process = subprocess.Popen(["/bin/sleep", "600"], env={"GRAPHYARD_SOCKET": str(socket)})

    async def reap() -> None:
        process.kill()
        process.wait()

    ghost.hands.undo.append(reap)
    return names.server(ghost.id, 1, 1)


async def a_program(ghost: Ghost) -> str:
    """Written down and supervised."""
    name = names.server(ghost.id, 1, 0)
    log = ghost.hands.home / "logs" / "ghost.log"
    await ghost.hands.supervisor.put(Program(name, ("/bin/sleep", "600"), ghost.hands.home, log))
    return name


async def a_valkeys_data(ghost: Ghost) -> str:
    place = ghost.hands.home / "data" / "redis" / ghost.short / "appendonlydir"
    place.mkdir(parents=True)
    (place / "appendonly.aof.1.incr.aof").write_bytes(b"*1\r\n$4\r\nPING\r\n")
    return names.redis(ghost.id)


async def a_route(ghost: Ghost) -> str:
    up, slug = ghost.hands.home / "run" / "up", names.slug(ghost.name, ghost.id)
    (up / f"{slug}.on").touch()
    (up / f"{ghost.short}.0").symlink_to(f"../rev/{ghost.short}-1-0.sock")
    return slug


EMPTY: tuple[Leave, ...] = (a_role, a_process, a_program, a_route)
FULL: tuple[Leave, ...] = (a_database, a_valkeys_data)
"""They hold data."""
