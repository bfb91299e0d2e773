"""Kill -9, as a seed says: any process of a stack every few seconds, sometimes several at once.

Which and how many is the seed's; what each of them is doing at that moment is the machine's.
"""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field

import psutil

from dataplane.local.supervisor import Supervisor
from tests.stack import Stack

WEIGHTS = {
    "api": 3,
    "worker": 4,
    "temporal": 2,
    "postgres": 2,
    "caddy": 2,
    "supervisord": 1,
    "keeper": 1,
    "valkey": 3,
    "server": 4,
}
BEARABLE = 3.0
"""Processes that want to run, by core; a storm alone brings about as many."""
SEVERAL = 0.2
MOST = 4
ALONE = 25.0
"""Seconds without a supervisor after which its owner looks; the keeper needs about ten."""


@dataclass
class Killer:
    """Strikes until it is cancelled, and keeps count."""

    stack: Stack
    seed: int
    pace: float
    """Seconds between two strikes, on average; longer while the machine has more to do than it can."""
    strikes: int = 0
    killed: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._choice = random.Random(self.seed)
        self._supervisor = Supervisor(self.stack.home)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self.pace * self._choice.uniform(0.4, 1.6) * crowd())
            await self.strike()

    async def strike(self) -> None:
        """Once, at one or at several."""
        several = self._choice.random() < SEVERAL
        count = self._choice.randint(2, MOST) if several else 1
        kinds = self._choices(count)
        living = await self.living()
        struck = 0
        for kind in kinds:
            if pids := living.get(kind):
                pid = pids.pop(self._choice.randrange(len(pids)))
                if kill(pid, self.stack):
                    self.killed[kind] += 1
                    struck += 1
        self.strikes += bool(struck)

    async def living(self) -> dict[str, list[int]]:
        """The pids there are to choose from, by kind; none while there is no supervisor to ask."""
        found: dict[str, list[int]] = {}
        for name, state in sorted((await self._supervisor.glance() or {}).items()):
            if state.pid:
                kind = {"redis": "valkey"}.get(name.partition("-")[0], name.partition("-")[0])
                found.setdefault(kind, []).append(state.pid)
        if found:
            found["supervisord"] = [int((self.stack.home / "run" / "supervisord.pid").read_text())]
        return found

    def _choices(self, count: int) -> list[str]:
        return self._choice.choices(list(WEIGHTS), list(WEIGHTS.values()), k=count)


@dataclass
class Operator:
    """Whoever runs `graphyard up` again: supervisord and its keeper killed at the same moment cannot come
    back by themselves."""

    stack: Stack
    ups: int = 0
    failed: list[str] = field(default_factory=list)

    async def run(self) -> None:
        supervisor, missed = Supervisor(self.stack.home), time.monotonic()
        while True:
            await asyncio.sleep(1)
            if await supervisor.alive():
                missed = time.monotonic()
            elif time.monotonic() - missed > ALONE:
                await self.up()
                missed = time.monotonic()

    async def up(self) -> None:
        self.ups += 1
        done = await asyncio.to_thread(self.stack.graphyard, "up", "--no-example", check=False)
        if done.returncode != 0:
            self.failed.append(done.stderr.strip())


def crowd() -> float:
    """By how much more than bearable the machine is loaded: where starting takes so much longer, a fixed pace
    would strike everything down before it stands."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1) / BEARABLE)


def kill(pid: int, stack: Stack) -> bool:
    """Kill it, if that pid still is one of the stack's."""
    try:
        process = psutil.Process(pid)
        words = (*process.cmdline(), *process.environ().values())
        if not any(str(stack.home) in word for word in words):
            return False
        os.kill(pid, signal.SIGKILL)
    except (psutil.Error, OSError):
        return False
    return True
