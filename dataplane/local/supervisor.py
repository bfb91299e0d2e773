"""supervisord, spoken to over its Unix socket: programs put, removed, started, ended, looked at.

Its calls block and its daemon may be killed and started again at any moment, so every call runs in a thread,
has a time limit, and is repeated until the daemon answers. Repeating is harmless: what is already so is fine.
"""

import asyncio
import http.client
import socket
import time
import xmlrpc.client
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataplane.local.programs import Files, Program

SHUTTING_DOWN, BAD_NAME, NOT_RUNNING, ALREADY_STARTED = 6, 10, 70, 60
SPAWN_ERROR, STILL_RUNNING, ALREADY_ADDED = 50, 91, 90
TRANSIENT = (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError, EOFError)
TICK = 0.05
URGED_SECONDS = 5.0
GLANCE_SECONDS = 3.0


class Unanswered(Exception):
    """supervisord did not answer for as long as the caller was willing to wait."""


@dataclass(frozen=True)
class State:
    """One program as supervisord sees it; times are whole seconds since 1970, 0 for never."""

    name: str
    state: str
    """STOPPED, STARTING, RUNNING, BACKOFF, STOPPING, EXITED, FATAL or UNKNOWN."""
    pid: int
    started: int
    ended: int
    exit_status: int
    trouble: str

    @property
    def up(self) -> bool:
        """Whether it runs or supervisor is still trying to run it."""
        return self.state in ("STARTING", "RUNNING", "BACKOFF")

    @property
    def busy(self) -> bool:
        """Whether something of it is still alive, or may be again."""
        return self.up or bool(self.pid)


class Supervisor:
    """The programs of one home."""

    def __init__(self, home: Path, *, patience: float = 30, timeout: float = 10) -> None:
        self.files = Files(home)
        self._socket = home / "run" / "supervisor.sock"
        self._patience = patience
        self._timeout = timeout

    async def put(self, program: Program) -> bool:
        """Have a program run as described; true if it was (re)started, false if it ran unchanged."""
        await asyncio.to_thread(self.files.write, program)
        added, changed, _ = await self._reload()
        if program.name in changed:
            await self.stop([program.name])
            await self._forget(program.name)
        if program.name in added or program.name in changed:
            await self._add(program.name)
            return True
        return await self.start(program.name)

    async def remove(self, *names: str, urge: str | None = None) -> None:
        """End programs side by side and forget them, files included."""
        for name in names:
            await asyncio.to_thread(self.files.remove, name)
        await self.stop(names, urge=urge)
        await self._reload()
        for name in names:
            await self._forget(name)

    async def start(self, name: str) -> bool:
        """Start a known program; false if it was up."""
        state = await self.state(name)
        if state is None:
            raise LookupError(f"no program {name} is known to the supervisor")
        if state.up:
            return False
        await self.stop([name])
        await self._call("startProcess", name, False, fine=(ALREADY_STARTED, SPAWN_ERROR))
        return True

    async def stop(self, names: Collection[str], *, patience: float = 3600, urge: str | None = None) -> None:
        """End these side by side and wait until no process of theirs is left; unknown names are fine.

        `urge` is a signal sent after the stop signal, for a program that takes a second one as a hurry; one
        that is still there a little later is killed.
        """
        urged_at = time.monotonic()
        async with asyncio.timeout(patience):
            while running := [
                one for one in (await self.all_states()).values() if one.name in names and one.busy
            ]:
                for one in running:
                    # Again in every round: a supervisord started anew meanwhile has started them anew.
                    if one.up:
                        await self._call("stopProcess", one.name, False, fine=(BAD_NAME, NOT_RUNNING))
                        if urge is not None:
                            await self.signal(one.name, urge)
                    elif urge is not None and time.monotonic() - urged_at > URGED_SECONDS:
                        await self.signal(one.name, "KILL")
                await asyncio.sleep(TICK)

    async def restart(self, name: str) -> None:
        """End it and start it again."""
        await self.stop([name])
        await self.start(name)

    async def signal(self, name: str, signal_name: str) -> None:
        """Send a signal (`TERM`, `USR1`) without any wish to see it stopped or started."""
        await self._call("signalProcess", name, signal_name, fine=(BAD_NAME, NOT_RUNNING))

    async def pid(self) -> int:
        """supervisord's own; another one means that it, and all it ran, died meanwhile."""
        return int(await self._call("getPID"))

    async def state(self, name: str) -> State | None:
        return (await self.all_states()).get(name)

    async def all_states(self) -> dict[str, State]:
        return _states(await self._call("getAllProcessInfo"))

    async def glance(self) -> dict[str, State] | None:
        """All states, asked for once; None if there is no answer now."""
        return await asyncio.to_thread(self.glanced)

    def glanced(self) -> dict[str, State] | None:
        """The same, for one who is in a thread already."""
        try:
            return _states(self._ask("getAllProcessInfo", (), GLANCE_SECONDS))
        except (*TRANSIENT, xmlrpc.client.Fault):
            return None

    async def reload(self) -> None:
        """Bring supervisord in line with the files: new ones start, changed ones restart, the rest ends."""
        added, changed, removed = await self._reload()
        await self.stop([*changed, *removed])
        for name in (*changed, *removed):
            await self._forget(name)
        for name in (*added, *changed):
            await self._add(name)

    async def alive(self) -> bool:
        """Whether supervisord answers now; never waits for it to come back."""
        try:
            return bool(await asyncio.to_thread(self._ask, "getPID", ()))
        except xmlrpc.client.Fault as fault:
            # Still there, and waiting for a program that takes its time to end.
            return bool(fault.faultCode == SHUTTING_DOWN)
        except TRANSIENT:
            return False

    async def shutdown(self) -> None:
        """Have supervisord end everything, then itself."""
        await asyncio.to_thread(self._ask, "shutdown", ())

    async def _reload(self) -> tuple[list[str], list[str], list[str]]:
        [[added, changed, removed]] = await self._call("reloadConfig")
        return added, changed, removed

    async def _add(self, name: str) -> None:
        # BAD_NAME: somebody removed its file since. The next reload tells.
        await self._call("addProcessGroup", name, fine=(ALREADY_ADDED, BAD_NAME))

    async def _forget(self, name: str) -> None:
        await self._call("removeProcessGroup", name, fine=(BAD_NAME,))

    async def _call(self, method: str, *arguments: Any, fine: tuple[int, ...] = ()) -> Any:
        """Ask until there is an answer; faults in `fine` are one."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return await asyncio.to_thread(self._ask, method, arguments)
            except xmlrpc.client.Fault as fault:
                if fault.faultCode in fine:
                    return None
                # Shutting down: the keeper starts another one. Still running: reaped within a second.
                if fault.faultCode not in (SHUTTING_DOWN, STILL_RUNNING) or time.monotonic() > deadline:
                    raise
            except TRANSIENT as error:
                if time.monotonic() > deadline:
                    raise Unanswered(f"the supervisor at {self._socket} does not answer ({error})") from error
            await asyncio.sleep(0.2)

    def _ask(self, method: str, arguments: tuple[Any, ...], timeout: float | None = None) -> Any:
        # A connection of its own for every call: one cannot be shared between threads.
        transport = _Transport(self._socket, timeout or self._timeout)
        try:
            proxy = xmlrpc.client.ServerProxy("http://supervisor/RPC2", transport=transport)
            return getattr(proxy.supervisor, method)(*arguments)
        finally:
            transport.close()


def _states(told: list[dict[str, Any]]) -> dict[str, State]:
    fields = ("name", "statename", "pid", "start", "stop", "exitstatus", "spawnerr")
    return {one["name"]: State(*(one[field] for field in fields)) for one in told}


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("supervisor", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__()
        self._path = path
        self._timeout = timeout

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        return _Connection(self._path, self._timeout)
