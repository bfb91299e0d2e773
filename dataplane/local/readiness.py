"""Waiting for new replicas while there is progress, and telling early when there is no use in waiting.

Progress is anything a replica does for the first time in a while: a line in its log, a new state. There is
no limit in total; a server that stays silent for too long has failed, and so has one that keeps dying.
"""

import asyncio
import contextlib
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dataplane.local.diagnosis import crash_loop, diagnose, stuck
from dataplane.local.replica import Replica
from dataplane.local.supervisor import State, Supervisor
from dataplane.plane import Tell
from workflows.causes import Cause, Code, Refused

TICK = 0.1
TAIL = 64 * 1024
MOST_DEATHS = 3
MOST_AWAY = 20
"""Deaths for want of a database; with supervisor's growing pauses these are some five minutes."""
OOM_KILLS = Path("/proc/vmstat")


@dataclass
class Watched:
    """One replica while it is waited for."""

    replica: Replica
    log: Path
    state: str = ""
    pid: int = 0
    size: int = 0
    begin: int = 0
    """Where in the log its present life begins."""
    deaths: int = 0
    away: int = 0
    moved_at: float = field(default_factory=time.monotonic)
    ready: bool = False


class Readiness:
    """The wait for the replicas of one revision."""

    def __init__(
        self,
        supervisor: Supervisor,
        watched: Sequence[Watched],
        secrets: Collection[str],
        *,
        progress_seconds: float,
        tell: Tell,
    ) -> None:
        self._supervisor = supervisor
        self._watched = watched
        self._secrets = secrets
        self._progress_seconds = progress_seconds
        self._tell = tell
        self._daemon = 0
        self._kills = _oom_kills()

    async def wait(self) -> None:
        """Return when every replica answers; `Refused` when one never will."""
        for one in self._watched:
            one.size = one.begin = await asyncio.to_thread(_start_of_tail, one.log)
        while waited := [one for one in self._watched if not one.ready]:
            states = await self._states()
            for one in waited:
                await self._look(one, states.get(one.replica.name))
            if not all(one.ready for one in waited):
                await asyncio.sleep(TICK)

    async def _states(self) -> dict[str, State]:
        daemon = await self._supervisor.pid()
        if self._daemon and daemon != self._daemon:
            # Its death took all of them along: nothing that they can be blamed for.
            for one in self._watched:
                one.pid = 0
        self._daemon = daemon
        return await self._supervisor.all_states()

    async def _look(self, one: Watched, state: State | None) -> None:
        name = one.replica.name
        if state is None:
            raise LookupError(f"the supervisor does not know {name}")
        if state.state != one.state:
            one.state = state.state
            self._moved(one, f"{name} is {state.state.lower()}")
        size = await asyncio.to_thread(_size, one.log)
        if size != one.size:
            one.begin = min(one.begin, size) if size >= one.size else 0
            one.size = size
            self._moved(one, f"{name} said something, {size} bytes so far")
        if one.pid and state.pid != one.pid:
            await self._died(one, state)
        one.pid = state.pid
        if state.state == "FATAL":
            raise _refused(crash_loop(await self._words(one), one.deaths or 1, self._secrets))
        if state.pid and await one.replica.answers():
            one.ready = True
            self._moved(one, f"{name} answers")
        elif time.monotonic() - one.moved_at > self._progress_seconds:
            raise _refused(stuck(self._progress_seconds, await self._words(one), self._secrets))

    async def _died(self, one: Watched, state: State) -> None:
        words = await self._words(one)
        found = diagnose(words, self._secrets)
        if found.cause is None and _oom_kills() > self._kills and state.exit_status == -1:
            raise Refused(
                Code.OUT_OF_MEMORY,
                f"The kernel killed {one.replica.name} because the machine's memory was full.",
                "Give the machine more memory, or run less on it.",
            )
        if found.cause is not None:
            raise _refused(found.cause)
        if found.away:
            one.away += 1
        else:
            one.deaths += 1
        self._moved(one, f"{one.replica.name} died")
        if one.deaths >= MOST_DEATHS or one.away >= MOST_AWAY:
            raise _refused(crash_loop(words, one.deaths + one.away, self._secrets))
        one.begin = one.size

    def _moved(self, one: Watched, sentence: str) -> None:
        one.moved_at = time.monotonic()
        self._tell(sentence)

    async def _words(self, one: Watched) -> str:
        """What its present life wrote; supervisor may still be copying the last of it."""
        await asyncio.sleep(0.1)
        return await asyncio.to_thread(_read, one.log, one.begin)


def _refused(cause: Cause) -> Refused:
    return Refused(cause.code, cause.message, cause.fix)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _start_of_tail(path: Path) -> int:
    return max(0, _size(path) - TAIL)


def _read(path: Path, begin: int) -> str:
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        file.seek(max(begin, _start_of_tail(path)))
        return file.read(2 * TAIL).decode(errors="replace")
    return ""


def _oom_kills() -> int:
    with contextlib.suppress(OSError):
        for line in OOM_KILLS.read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
