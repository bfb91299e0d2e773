"""Processes of deployments as the watch sees them: which are there, which are stopped in their tracks, which
answer.

That a process is gone is told by the kernel, that it is suspended is read from /proc, twice a second and for next
to nothing; the supervisor is asked when something moved there, and every other second. Whether replicas answer is
asked by turns, so many a second however many there are.
"""

import asyncio
import heapq
import json
import os
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from dataplane.local.endings import Endings
from dataplane.local.pace import Pace
from dataplane.local.pulse import Pulse, work
from dataplane.local.replica import PULSE, TOKEN_HEADER
from dataplane.local.seen import STOPPED, letter
from dataplane.local.slots import Slots
from dataplane.local.supervisor import State, Supervisor
from dataplane.local.traces import Signature
from workflows.drift import AS_WISHED, MOVES, RUNNING

OURS = re.compile(r"(server|redis)-([0-9a-f]{8})(?:-(\d+)-(\d+))?")
ASK_AGAIN = 1.0
"""Seconds. What has a process moves in /proc first; only what waits or is forgotten moves without."""
COARSE = {"STARTING": "up", "RUNNING": "up"}
GRACE = 60.0
"""Seconds in which a process may take its time to answer for the first time."""


class Processes:
    """All supervised processes of deployments."""

    def __init__(self, supervisor: Supervisor, stirred: asyncio.Event) -> None:
        self._supervisor = supervisor
        self._endings = Endings(stirred)
        self._reading, self._asking, self._asking_again = Pace(0.01), Pace(0.01, period=ASK_AGAIN), Pace(0.15)
        self._asked: tuple[float, float] | None = None
        """When the supervisor was asked last, and before that."""
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
            began = time.time()
            # The daemon spends as much again.
            states = await self._asking.thread(self._supervisor.glanced)
            self._asking_again.spent(self._asking.last)
            if states is None:
                self._found = None
                return None
            self._asked = began, self._asked[0] if self._asked else began
            self.states = {name: one for name, one in states.items() if OURS.fullmatch(name)}
            kernel = await asyncio.to_thread(_letters, self.states)
        self._kernel = kernel
        self._endings.follow([pid for pid, told in kernel.items() if told])
        found: dict[str, Signature] = {}
        for name, one in self.states.items():
            how = COARSE.get(one.state, one.state.lower())
            told = f"{one.pid} {how}{' suspended' if kernel.get(one.pid) == 'T' else ''}"
            found.setdefault(name.split("-")[1], {})[name] = told
        self._found = found
        return found

    def close(self) -> None:
        """Follow nobody any more."""
        self._endings.close()

    @property
    def away(self) -> bool:
        """Whether the supervisor did not answer when it was asked last."""
        return self._found is None

    def when(self, thing: str) -> tuple[float, float] | None:
        """Between which moments that program became what it is, as far as the kernel and the supervisor
        know; they tell when a process was born or ended, not when it was suspended."""
        one = self.states.get(thing)
        if one is not None and self._kernel.get(one.pid) == "T":
            return None
        if one is not None and one.pid:
            born = _born(one.pid)
            return (born, born) if born else None
        if one is not None and one.ended:
            return one.ended, one.ended + 1
        return (self._asked[1], time.time()) if self._asked else None


class Pulses:
    """What replicas and Valkeys say when they are asked how they are, by turns."""

    def __init__(
        self,
        home: Path,
        processes: Processes,
        stirred: asyncio.Event,
        redis: Callable[[str], Awaitable[str]],
        tokens: Callable[[], Mapping[str, str]],
        *,
        stuck_seconds: float,
        again: float = 1.5,
        a_second: float = 20.0,
    ) -> None:
        self._slots = Slots(home)
        self._processes = processes
        self._stirred = stirred
        self._redis = redis
        self._tokens = tokens
        self._stuck_seconds = stuck_seconds
        self._again = again
        self._a_second = a_second
        self._asked: dict[tuple[str, int], float] = {}
        self._told: dict[tuple[str, int], str] = {}
        self._asking: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._work: dict[tuple[str, int], str] = {}
        self._worked: dict[tuple[str, int], float] = {}
        self._states: dict[str, State] = {}
        self._there: dict[tuple[str, int], State] = {}
        self._found: dict[str, Signature] | None = None
        """As it was told last; None once something of it changed."""
        self._credit = 0.0
        self._counted_at = time.monotonic()

    async def look(self) -> dict[str, Signature] | None:
        """What was told last, without waiting for anybody; and the next ones are asked."""
        if self._processes.away:
            return None
        if self._states is not self._processes.states:
            self._states = self._processes.states
            self._there = {(name, one.pid): one for name, one in self._states.items() if one.pid}
            kept: tuple[dict[tuple[str, int], Any], ...] = self._told, self._asked, self._work, self._worked
            for known in kept:
                for gone in known.keys() - self._there.keys():
                    del known[gone]
                    self._found = None
        now = time.monotonic()
        self._credit = min(self._a_second, self._credit + (now - self._counted_at) * self._a_second)
        self._counted_at = now
        for key in self._due(now):
            self._asked[key] = now
            self._asking[key] = asyncio.create_task(self._ask(*key, self._there[key].started))
        if self._found is None:
            found: dict[str, Signature] = {}
            self._found = found
            for (name, pid), told in self._told.items():
                found.setdefault(name.split("-")[1], {})[f"{name} {pid}"] = told
            for (name, pid), told in self._work.items():
                found.setdefault(name.split("-")[1], {})[f"work {name} {pid}"] = told
        return self._found

    async def close(self) -> None:
        """Wait for nobody any more."""
        for task in self._asking.values():
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)

    def _due(self, now: float) -> Iterator[tuple[str, int]]:
        waiting = (key for key in self._there if key not in self._asking)
        for key in heapq.nsmallest(int(self._credit), waiting, key=lambda key: self._asked.get(key, 0.0)):
            if now - self._asked.get(key, 0.0) < self._again:
                return
            self._credit -= 1
            yield key

    async def _ask(self, name: str, pid: int, started: int) -> None:
        key = (name, pid)
        try:
            told = await self._answer(key)
            young = key not in self._told and time.time() - started < GRACE
            # That one which died says nothing is no news beside its death.
            if (told in FINE or (not young and letter(pid))) and self._told.get(key) != told:
                self._told[key], self._found = told, None
                self._stirred.set()
        finally:
            del self._asking[key]

    async def _answer(self, key: tuple[str, int]) -> str:
        name = key[0]
        kind, short, *numbers = name.split("-")
        if kind == "redis":
            return await self._redis(short)
        number, index = (int(one) for one in numbers)
        socket, token = self._slots.socket(short, number, index), self._tokens().get(name)
        now = time.monotonic()
        if not token or now - self._worked.get(key, 0.0) < WORKS_AGAIN:
            return (await answer(socket, "/ok"))[0]
        self._worked[key] = now
        told, body = await answer(socket, PULSE, f"{TOKEN_HEADER}: {token}\r\n")
        pulse = Pulse.told(_json(body)) if told == ANSWERS else None
        if pulse is None:
            # A server of an older release, or a page of the project's own.
            return told if told == SILENT else (await answer(socket, "/ok"))[0]
        judged = work(pulse, self._stuck_seconds)
        how = MOVES if judged is None or judged[0] == MOVES else STUCK
        if self._work.get(key, MOVES) != how:
            self._work[key], self._found = how, None
        return told


ANSWERS, SILENT, STUCK = "answers", "silent", "stuck"
FINE = (ANSWERS, RUNNING, AS_WISHED, MOVES)
WAIT = 2.0
WORKS_AGAIN = 10.0
"""Seconds; it costs the replica a look into its database, and nothing is stuck before a minute."""
MOST = 64 * 1024


async def answer(socket: Path, path: str, headers: str = "") -> tuple[str, bytes]:
    """How a replica answers to one question, and what."""
    try:
        async with asyncio.timeout(WAIT):
            return await _asked(socket, path, headers)
    except (OSError, TimeoutError, ValueError, IndexError, asyncio.IncompleteReadError):
        return SILENT, b""


async def _asked(socket: Path, path: str, headers: str) -> tuple[str, bytes]:
    # By hand: a client of httpx costs as much as everything else that the watch does.
    reader, writer = await asyncio.open_unix_connection(socket)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: replica\r\n{headers}\r\n".encode())
        said = await reader.read(MOST)
        while said and len(said) < MOST and (more := await reader.read(MOST)):
            said += more
    finally:
        writer.close()
    status = int(said.split(b" ", 2)[1])
    return ANSWERS if status == 200 else f"{status}", said.partition(b"\r\n\r\n")[2]


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _letters(states: Mapping[str, State]) -> dict[int, str]:
    return {
        one.pid: "T" if (told := letter(one.pid)) == STOPPED else told and "up"
        for one in states.values()
        if one.pid
    }


def _born(pid: int) -> float | None:
    """When a process was started, to the hundredth of a second. psutil tells it to the second."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            ticks = int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, IndexError):
        return None
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - age
