"""Processes of deployments as the watch sees them: which are there, which are stopped in their tracks, which
answer.

That a process is gone or suspended is read from /proc, twice a second and for next to nothing; the supervisor
is asked when something moved there, and every other second. Whether replicas answer is asked by turns, so many
a second however many there are.
"""

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from dataplane.local.pace import Pace
from dataplane.local.slots import Slots
from dataplane.local.supervisor import State, Supervisor
from dataplane.local.traces import Signature

OURS = re.compile(r"(server|redis)-([0-9a-f]{8})(?:-(\d+)-(\d+))?")
COARSE = {"STARTING": "up", "RUNNING": "up"}
GRACE = 60.0
"""Seconds in which a process may take its time to answer for the first time."""


class Processes:
    """All supervised processes of deployments."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._reading, self._asking, self._asking_again = Pace(0.01), Pace(0.01), Pace(0.15)
        self._kernel: dict[int, str] = {}
        self._found: dict[str, Signature] | None = None
        self.states: dict[str, State] = {}
        """As the supervisor told last, by program."""

    async def look(self) -> dict[str, Signature] | None:
        """Each deployment's programs with pid and coarse state; None while the supervisor is away."""
        if self._found is not None and not self._reading.due:
            return self._found
        kernel = await self._reading.thread(partial(_letters, self.states))
        moved = kernel != self._kernel or "" in kernel.values()
        if self._found is None or self._asking.due or (moved and self._asking_again.due):
            # The daemon spends as much again.
            states = await self._asking.thread(self._supervisor.glanced)
            self._asking_again.spent(self._asking.last)
            if states is None:
                self._found = None
                return None
            self.states = {name: one for name, one in states.items() if OURS.fullmatch(name)}
            kernel = await asyncio.to_thread(_letters, self.states)
        self._kernel = kernel
        found: dict[str, Signature] = {}
        for name, one in self.states.items():
            how = COARSE.get(one.state, one.state.lower())
            told = f"{one.pid} {how}{' suspended' if kernel.get(one.pid) == 'T' else ''}"
            found.setdefault(name.split("-")[1], {})[name] = told
        self._found = found
        return found

    @property
    def away(self) -> bool:
        """Whether the supervisor did not answer when it was asked last."""
        return self._found is None

    def when(self, thing: str) -> tuple[float, float] | None:
        """Between which moments that program became what it is, as far as the kernel and the supervisor
        know; they tell when a process was born or ended, not when it was suspended."""
        one = self.states.get(thing)
        if one is None or self._kernel.get(one.pid) == "T":
            return None
        if one.pid:
            born = _born(one.pid)
            return (born, born) if born else None
        return (one.ended, one.ended + 1) if one.ended else None


class Pulses:
    """What replicas and Valkeys say when they are asked how they are, by turns."""

    def __init__(
        self,
        home: Path,
        processes: Processes,
        redis: Callable[[str], Awaitable[str]],
        *,
        again: float = 2.0,
        a_second: float = 20.0,
    ) -> None:
        self._slots = Slots(home)
        self._processes = processes
        self._redis = redis
        self._again = again
        self._a_second = a_second
        self._asked: dict[tuple[str, int], float] = {}
        self._told: dict[tuple[str, int], str] = {}
        self._asking: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._credit = 0.0
        self._counted_at = time.monotonic()

    async def look(self) -> dict[str, Signature] | None:
        """What was told last, without waiting for anybody; and the next ones are asked."""
        if self._processes.away:
            return None
        there = {(name, one.pid): one for name, one in self._processes.states.items() if one.pid}
        for gone in self._told.keys() - there.keys():
            del self._told[gone]
        for gone in self._asked.keys() - there.keys():
            del self._asked[gone]
        now = time.monotonic()
        self._credit = min(self._a_second, self._credit + (now - self._counted_at) * self._a_second)
        self._counted_at = now
        for key in self._due(there, now):
            self._asked[key] = now
            self._asking[key] = asyncio.create_task(self._ask(*key, there[key].started))
        found: dict[str, Signature] = {}
        for (name, pid), told in self._told.items():
            found.setdefault(name.split("-")[1], {})[f"{name} {pid}"] = told
        return found

    async def close(self) -> None:
        """Wait for nobody any more."""
        for task in self._asking.values():
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)

    def _due(self, there: Mapping[tuple[str, int], State], now: float) -> Iterator[tuple[str, int]]:
        waiting = [key for key in there if key not in self._asking]
        for key in sorted(waiting, key=lambda key: self._asked.get(key, 0.0)):
            if self._credit < 1 or now - self._asked.get(key, 0.0) < self._again:
                return
            self._credit -= 1
            yield key

    async def _ask(self, name: str, pid: int, started: int) -> None:
        key = (name, pid)
        try:
            told = await self._answer(name)
            young = key not in self._told and time.time() - started < GRACE
            # That one which died says nothing is no news beside its death.
            if told in FINE or (not young and _letter(pid)):
                self._told[key] = told
        finally:
            del self._asking[key]

    async def _answer(self, name: str) -> str:
        kind, short, *numbers = name.split("-")
        if kind == "redis":
            return await self._redis(short)
        number, index = (int(one) for one in numbers)
        socket = self._slots.socket(short, number, index)
        return await answer(socket)


ANSWERS, SILENT = "answers", "silent"
FINE = (ANSWERS, "running", "as wished")
WAIT = 2.0


async def answer(socket: Path) -> str:
    """How a replica answers to a glance at its health."""
    try:
        async with asyncio.timeout(WAIT):
            return await _asked(socket)
    except (OSError, TimeoutError, ValueError, IndexError, asyncio.IncompleteReadError):
        return SILENT


async def _asked(socket: Path) -> str:
    # By hand: a client of httpx costs as much as everything else that the watch does.
    reader, writer = await asyncio.open_unix_connection(socket)
    try:
        writer.write(b"GET /ok HTTP/1.1\r\nHost: replica\r\nConnection: close\r\n\r\n")
        status = int((await reader.readuntil(b"\r\n")).split()[1])
    finally:
        writer.close()
    return ANSWERS if status == 200 else f"{status}"


def _letters(states: Mapping[str, State]) -> dict[int, str]:
    return {one.pid: _letter(one.pid) for one in states.values() if one.pid}


def _letter(pid: int) -> str:
    """The kernel's letter for a process; empty if there is none any more."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            letter = file.read().rpartition(b")")[2].split()[0].decode()
    except (OSError, IndexError):
        return ""
    return "" if letter in "ZX" else "T" if letter == "T" else "up"


def _born(pid: int) -> float | None:
    """When a process was started, to the hundredth of a second. psutil tells it to the second."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            ticks = int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, IndexError):
        return None
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - age
