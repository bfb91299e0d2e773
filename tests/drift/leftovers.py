"""Things with names like ours that no record owns: each made as a crash, a restored backup or a person might
leave it behind. Every function leaves one thing and answers the kind and the name it is listed under as an orphan."""

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


Thing = tuple[str, str]
Leave = Callable[[Ghost], Awaitable[Thing]]


async def a_database(ghost: Ghost) -> Thing:
    name = names.database(ghost.name, ghost.id)
    await ghost.hands.sql(f'create database "{name}"')
    return "database", name


async def a_role(ghost: Ghost) -> Thing:
    name = names.database(ghost.name, ghost.id)
    await ghost.hands.sql(f'create role "{name}" login')
    return "role", name


async def a_process(ghost: Ghost) -> Thing:
    """Which nobody supervises."""
    socket = ghost.hands.home / "run" / "rev" / f"{ghost.short}-1-1.sock"
    process = subprocess.Popen(["/bin/sleep", "600"], env={"GRAPHYARD_SOCKET": str(socket)})

    async def reap() -> None:
        process.kill()
        process.wait()

    ghost.hands.undo.append(reap)
    return "process", names.server(ghost.id, 1, 1)


async def a_program(ghost: Ghost) -> Thing:
    """Written down and supervised."""
    name = names.server(ghost.id, 1, 0)
    log = ghost.hands.home / "logs" / "ghost.log"
    await ghost.hands.supervisor.put(Program(name, ("/bin/sleep", "600"), ghost.hands.home, log))
    return "process", name


async def a_valkeys_data(ghost: Ghost) -> Thing:
    place = ghost.hands.home / "data" / "redis" / ghost.short / "appendonlydir"
    place.mkdir(parents=True)
    (place / "appendonly.aof.1.incr.aof").write_bytes(b"*1\r\n$4\r\nPING\r\n" * 50)
    return "redis", names.redis(ghost.id)


async def a_route(ghost: Ghost) -> Thing:
    up, slug = ghost.hands.home / "run" / "up", names.slug(ghost.name, ghost.id)
    (up / f"{slug}.on").touch()
    (up / f"{ghost.short}.0").symlink_to(f"../rev/{ghost.short}-1-0.sock")
    return "route", slug


EMPTY: tuple[Leave, ...] = (a_role, a_process, a_program, a_route)
FULL: tuple[Leave, ...] = (a_database, a_valkeys_data)
"""They hold data."""
