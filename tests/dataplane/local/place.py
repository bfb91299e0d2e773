"""A home with deployments that are made of the cheapest processes there are, for those who look at homes."""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from uuid import UUID

from dataplane.images.bundle import COMPLETE, RECORD, SOURCE, VENV
from dataplane.local.ours import SETTLE, Ours
from dataplane.local.programs import Program, Sealed
from dataplane.local.seen import STOPPED, letter
from dataplane.local.slots import Slots
from dataplane.local.supervisor import Supervisor
from dataplane.local.watch import Watch
from sealing import Keyring
from workflows import names
from workflows.surveys import Seen

TICK = 0.1
PACKAGE = f"{VENV}/lib/python3.11/site-packages/langgraph_api"
SERVER = """
import os, socket, sys, threading
path = sys.argv[1]
if os.path.exists(path):
    os.unlink(path)
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen(50)
while True:
    connection, _ = listener.accept()
    said = connection.recv(1000)
    if os.path.exists(sys.argv[2]):
        continue
    connection.sendall(b"HTTP/1.1 200 OK\\r\\ncontent-length: 0\\r\\nconnection: close\\r\\n\\r\\n")
    connection.close()
"""


class Catalogue:
    """Postgres's answer, or its absence."""

    def __init__(self) -> None:
        self.told: dict[str, str] = {}
        self.seen: dict[str, Seen] = {}
        self.away = False

    async def look_inside(self) -> None:
        """Nothing shows there."""

    async def listed(self) -> dict[str, str]:
        if self.away:
            raise ConnectionError
        return dict(self.told)

    async def surveyed(self) -> dict[str, Seen]:
        if self.away:
            raise ConnectionError
        return {short: one.model_copy(deep=True) for short, one in self.seen.items()}


class Valkeys:
    """What Valkeys say when they are asked how they are."""

    def __init__(self) -> None:
        self.told: dict[str, str] = {}

    async def pulse(self, short: str) -> str:
        return self.told.get(short, "as wished")


class Place:
    """A home with deployments that are made of the cheapest processes there are."""

    def __init__(self, home: Path, supervisor: Supervisor) -> None:
        self.home = home
        self.supervisor = supervisor
        self.slots = Slots(home)
        self.ours = Ours(home)
        self.catalogue = Catalogue()
        self.valkeys = Valkeys()
        Keyring.create(home / "secrets" / "sealing.keys")
        self.ring = Keyring.load(home / "secrets" / "sealing.keys")
        (home / "server.py").write_text(SERVER)

    def watch(self) -> Watch:
        return Watch(self.home, self.supervisor, self.catalogue, self.valkeys, self.ours, tick=TICK)

    def bundle(self, short: str) -> Path:
        """Each deployment's own image."""
        place = self.home / "images" / (short * 8)
        if not place.exists():
            (place / VENV / "bin").mkdir(parents=True)
            (place / PACKAGE).mkdir(parents=True)
            (place / SOURCE).mkdir()
            for file in (COMPLETE, RECORD, f"{SOURCE}/agent.py"):
                (place / file).write_text("{}")
            (place / VENV / "bin" / "python").symlink_to(sys.executable)
        return place

    def program(self, id_: UUID, number: int = 1, index: int = 0) -> Program:
        name, owner = names.server(id_, number, index), str(id_)
        python = str(self.bundle(names.short(id_)) / VENV / "bin" / "python")
        socket = self.slots.socket(names.short(id_), number, index)
        return Program(
            name,
            (python, str(self.home / "server.py"), str(socket), str(self.home / f"hang-{name}")),
            self.home,
            self.home / "logs" / f"{name}.log",
            {"PATH": "/bin"},
            sealed=(Sealed(owner, self.ring.seal_map({"SECRET": "marker-secret"}, owner)),),
            keys=self.home / "secrets" / "sealing.keys",
        )

    def written(self, id_: UUID, number: int = 1) -> None:
        """The files of its programs, and what Valkey and Postgres would have of it."""
        short = names.short(id_)
        data = self.home / "data" / "redis" / short
        (data / "appendonlydir").mkdir(mode=0o700, parents=True, exist_ok=True)
        (data / "valkey.conf").write_text("port 0")
        (self.home / "run" / "redis" / f"{short}.sock").touch()
        log = self.home / "logs" / "redis.log"
        redis = Program(names.redis(id_), ("/bin/sleep", "1000"), self.home, log, {"PATH": "/bin"})
        self.supervisor.files.write(redis)
        self.supervisor.files.write(self.program(id_, number))
        self.catalogue.told[short] = "a role and a database"

    async def serve(self, *ids: UUID, number: int = 1) -> None:
        """Everything that a rollout does to this home; the watch has seen it all when this returns."""
        with contextlib.ExitStack() as stack:
            for id_ in ids:
                stack.enter_context(self.ours.during(id_))
                self.written(id_, number)
            await self.supervisor.reload()
        async with asyncio.timeout(60):
            for id_ in ids:
                while not self.slots.socket(names.short(id_), number, 0).exists():
                    await asyncio.sleep(0.02)
        for id_ in ids:
            short = names.short(id_)
            with self.ours.during(id_):
                self.slots.lead(short, names.slug("agent", id_), number, 1)
            with self.ours.during(id_):
                for name in self.supervisor.files.names(f"server-{short}-"):
                    if name != names.server(id_, number, 0):
                        await self.supervisor.remove(name)
                        self.slots.forget(short, int(name.split("-")[2]))
        await asyncio.sleep(SETTLE + 5 * TICK)

    def lay(self, *ids: UUID) -> None:
        """The same on disk, with nothing that runs."""
        for id_ in ids:
            short = names.short(id_)
            with self.ours.during(id_):
                self.written(id_)
                self.slots.socket(short, 1, 0).touch()
                self.slots.lead(short, names.slug("agent", id_), 1, 1)

    async def send(self, name: str, number: int) -> None:
        """A signal; one that stops or continues has done so when this returns, however busy the machine is."""
        pid = await self.pid(name)
        os.kill(pid, number)
        if number in (signal.SIGSTOP, signal.SIGCONT):
            async with asyncio.timeout(30):
                while (letter(pid) == STOPPED) is not (number == signal.SIGSTOP):
                    await asyncio.sleep(0.01)

    async def pid(self, name: str) -> int:
        state = await self.supervisor.state(name)
        assert state is not None
        return state.pid
