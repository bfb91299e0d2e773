"""How often a look may be taken, so that looking at a thousand deployments costs no more than looking at ten."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LONGEST = 10.0


class Pace:
    """Pauses that keep what is spent to a share of one core, and no pause longer than ten seconds."""

    def __init__(self, share: float, *, period: float = 0.0) -> None:
        self._share = share
        self._period = period
        self._next = 0.0
        self.last = 0.0
        """What was spent last."""

    @property
    def due(self) -> bool:
        return time.monotonic() >= self._next

    @property
    def left(self) -> float:
        """Seconds until it is due."""
        return max(0.0, self._next - time.monotonic())

    def spent(self, seconds: float) -> None:
        """So much was spent just now."""
        self.last = seconds
        self._next = time.monotonic() + max(self._period - seconds, min(LONGEST, seconds / self._share))

    async def thread(self, work: Callable[[], T]) -> T:
        """Do that in a thread, and count what it takes of a core; what it waits for others is free."""

        def timed() -> tuple[T, float]:
            began = time.thread_time()
            return work(), time.thread_time() - began

        done, cost = await asyncio.to_thread(timed)
        self.spent(cost)
        return done
