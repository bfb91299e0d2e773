"""Things of ours that no record knows: each made as a crash, a restored backup or a person might leave it.

Every function leaves one thing behind and answers its name, as orphans are listed.
"""

import subprocess
from collections.abc import Awaitable, Callable

from dataplane.local.programs import Program
from tests.drift.patient import Patient

Leave = Callable[[Patient], Awaitable[str]]


async def a_database(patient: Patient) -> str:
    await patient.sql("create database gy_ghost_0badda7a")
    return "gy_ghost_0badda7a"


async def a_role(patient: Patient) -> str:
    await patient.sql("create role gy_ghost_0bad401e login")
    return "gy_ghost_0bad401e"


async def a_process(patient: Patient) -> str:
    """Which nobody supervises."""
    socket = patient.home / "run" / "rev" / "0badca11-1-0.sock"
    process = subprocess.Popen(["/bin/sleep", "600"], env={"GRAPHYARD_SOCKET": str(socket)})

    async def reap() -> None:
        process.kill()
        process.wait()

    patient.undo.append(reap)
    return "server-0badca11-1-0"


async def a_program(patient: Patient) -> str:
    """Written down and supervised."""
    name = "server-0badc0de-3-0"
    log = patient.home / "logs" / "ghost.log"
    await patient.supervisor.put(Program(name, ("/bin/sleep", "600"), patient.home, log))
    return name


async def a_valkeys_data(patient: Patient) -> str:
    place = patient.home / "data" / "redis" / "0badcafe" / "appendonlydir"
    place.mkdir(parents=True)
    (place / "appendonly.aof.1.incr.aof").write_bytes(b"*1\r\n$4\r\nPING\r\n")
    return "redis-0badcafe"


async def a_route(patient: Patient) -> str:
    up = patient.home / "run" / "up"
    (up / "ghost-0baddeed.on").touch()
    (up / "0baddeed.0").symlink_to("../rev/0baddeed-1-0.sock")
    return "ghost-0baddeed"


EMPTY: tuple[Leave, ...] = (a_role, a_process, a_program, a_route)
"""Removed once their time is over."""
FULL: tuple[Leave, ...] = (a_database, a_valkeys_data)
"""They hold data: kept, until somebody asks."""
