"""Putting a Valkey right with the least that helps: as it runs if it can be reached, restarted if it must be.

Before anything ends its process, what only its memory holds is on disk, or carried over the restart.
"""

import asyncio
import json
import os
import signal
import time
from pathlib import Path

import structlog

from dataplane.local import durable, rescue, salvage, seen
from dataplane.local.programs import Program
from dataplane.local.supervisor import State, Supervisor
from dataplane.valkey import righted
from dataplane.valkey.client import Client, Shown, connected, look
from dataplane.valkey.judged import differing

log = structlog.get_logger()

YOUNG = 10.0
"""Seconds in which one that was just started may not be listening yet."""
CHANCES = 2
"""On a machine that is busy beyond measure it may miss one; a restart would make that no better."""
REWRITE = 120.0
"""Seconds that writing a whole memory to disk may take."""
TICK = 0.05
LOOK = 0.5
"""Seconds between two questions to the supervisor."""


class Revival:
    """One attempt to put one Valkey right: `find`, `mend`, `run`, `finish`."""

    def __init__(self, supervisor: Supervisor, name: str, data: Path, socket: Path, password: str) -> None:
        self._supervisor = supervisor
        self._name = name
        self._data = data
        self._socket = socket
        self._password = password
        self._state: State | None = None
        self._restart = False
        self._log_end = 0
        self._rescued = False

    async def find(self, owner: str, credentials: str) -> None:
        """Wake its process if somebody stopped it, and have its directory where it belongs."""
        self._state = await self._supervisor.state(self._name)
        pid = self._state.pid if self._state is not None else 0
        _wake(pid)
        await asyncio.to_thread(self._bring_back, pid, owner, credentials)

    async def mend(self) -> None:
        """What can be done to a process that runs; what cannot is left to a restart."""
        if self._state is None or not self._state.pid:
            return
        shown = await self._reached(self._state.pid)
        if shown is None or shown.loading:
            return
        if not shown.inside or not shown.rights:
            self._restart = True
            log.warning("a Valkey has to be restarted", program=self._name, why=shown.trouble or "locked out")
            return
        async with connected(self._socket) as client:
            await self._login(client)
            self._restart = not await self._settled(client, shown)
            if self._restart:
                saved = await rescue.save(client)
                await asyncio.to_thread(saved.write, self._data)
                self._rescued = True

    async def run(self, program: Program) -> None:
        """Have it run as described, restarted if that is what it takes."""
        self._log_end = await asyncio.to_thread(_size, program.log)
        failing = self._state is not None and self._state.state == "BACKOFF"
        restarted = await self._supervisor.put(program)
        # Left alone, the supervisor would try again only after a pause that has grown by now.
        if (self._restart or failing) and not restarted:
            await self._supervisor.restart(program.name)

    async def until_inside(self, program: Program, patience: float) -> Shown:
        """Until it takes the password, or what it shows instead once patience is over; reading its files at
        start may take as long as it takes. Files that it cannot read are cut, or else set aside."""
        cures = iter((salvage.cut, lambda _, data: salvage.set_aside(data)))
        deadline, asked = time.monotonic() + patience, 0.0
        while True:
            shown = await look(self._socket, self._password)
            now = time.monotonic()
            if shown.inside or now > deadline:
                return shown
            deadline = now + patience if shown.loading else deadline
            if shown.trouble and now - asked > LOOK:
                asked = now
                if not await self._damaged(program):
                    continue
                if (cure := next(cures, None)) is None:
                    return shown
                await self._supervisor.stop([program.name])
                await asyncio.to_thread(cure, Path(program.argv[0]), self._data)
                self._log_end = await asyncio.to_thread(_size, program.log)
                await self._supervisor.start(program.name)
            await asyncio.sleep(TICK)

    async def finish(self) -> None:
        """Give back what was carried over, by us or by one who did not come so far."""
        saved = await asyncio.to_thread(rescue.Saved.read, self._data)
        if len(saved):
            async with connected(self._socket) as client:
                await self._login(client)
                await rescue.restore(client, saved, newest=self._rescued)
        await asyncio.to_thread(rescue.forget, self._data)

    async def _damaged(self, program: Program) -> bool:
        """Whether it ended, and for what it found in its files."""
        state = await self._supervisor.state(program.name)
        if state is None or state.state not in ("BACKOFF", "FATAL", "EXITED"):
            return False
        return await asyncio.to_thread(salvage.says_damaged, program.log, self._log_end)

    async def _reached(self, pid: int) -> Shown | None:
        """What it shows, once it had the time to listen and more than one chance to answer; None if it is gone."""
        chances = CHANCES
        while chances:
            shown = await look(self._socket, self._password)
            if not shown.trouble:
                return shown
            try:
                if await asyncio.to_thread(durable.listens, self._socket):
                    chances = chances - 1 if self._socket.exists() else 0
                elif durable.age(pid) > YOUNG:
                    chances = 0
            except OSError:
                return None
            # One that is busy with its disk stops only after that, and so after we found it awake.
            _wake(pid)
            await asyncio.sleep(TICK)
        return shown

    async def _settled(self, client: Client, shown: Shown) -> bool:
        """Have users, role, settings and persistence as wished; false if only a restart can."""
        await righted.doors(client, shown, self._password, self._name)
        stands = durable.footing(client.pid)
        if stands is None or stands.stands_in != str(self._data):
            return False
        if "appendonly" in differing(shown) and durable.began_without(client.pid, self._data):
            return False
        await righted.settings(client, shown, self._name)
        astray = stands.astray(self._data) or bool(durable.lost(self._data))
        if astray:
            await righted.do(client, ("BGREWRITEAOF",), self._name)
        if astray or not stands.appends_to:
            await self._await_rewrite(client)
        return True

    async def _await_rewrite(self, client: Client) -> None:
        """Until all of its memory is in files that are there."""
        async with asyncio.timeout(REWRITE):
            while True:
                [info] = await client.ask(("INFO", "persistence"))
                text = info.decode() if isinstance(info, bytes) else ""
                stands = durable.footing(client.pid)
                if stands is None or "aof_last_bgrewrite_status:err" in text:
                    return
                busy = "aof_rewrite_in_progress:1" in text or "aof_rewrite_scheduled:1" in text
                if not busy and stands.appends_to and not stands.astray(self._data):
                    return
                await asyncio.sleep(TICK)

    async def _login(self, client: Client) -> None:
        await righted.do(client, ("AUTH", "default", self._password), self._name)

    def _bring_back(self, pid: int, owner: str, credentials: str) -> None:
        """Its directory may have been moved: its process knows where to, or the note of whose it is does."""
        durable.opened(self._data)
        if not self._data.exists() or not any(self._data.iterdir()):
            stands = durable.footing(pid) if pid else None
            if (found := self._moved(stands, owner, credentials)) is not None:
                if self._data.exists():
                    self._data.rmdir()
                log.info("a Valkey's directory was moved, and is brought back", program=self._name)
                found.rename(self._data)
        self._data.mkdir(mode=0o700, parents=True, exist_ok=True)
        durable.opened(self._data)

    def _moved(self, stands: durable.Footing | None, owner: str, credentials: str) -> Path | None:
        # Before it has become Valkey, a process stands wherever its launcher does.
        place = Path(stands.stands_in) if stands is not None and stands.stands_in else None
        if place is not None and place != self._data and (place / durable.DIRECTORY).is_dir():
            return place
        for note in self._data.parent.glob(f"*/{credentials}"):
            try:
                if json.loads(note.read_text())["owner"] == owner:
                    return note.parent
            except (OSError, ValueError, LookupError, TypeError):
                continue
        return None


def _wake(pid: int) -> None:
    if seen.letter(pid) == seen.STOPPED:
        os.kill(pid, signal.SIGCONT)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
