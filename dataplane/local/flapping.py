"""How often one deployment may be spoken of: soon at first, rarely while it keeps changing."""

import time
from collections.abc import Callable
from dataclasses import dataclass

FIRST, MOST, FREE = 1.0, 60.0, 5
QUIET = 5.0


@dataclass
class _Told:
    at: float
    pause: float
    times: int


class Flapping:
    """Notices of deployments: a second between them, after five in a row twice as long each time, up to a
    minute. One that keeps quiet for longer than its pauses starts anew."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told: dict[str, _Told] = {}

    def may(self, short: str) -> bool:
        """Whether to speak of it now."""
        told = self._told.get(short)
        return told is None or self._clock() >= told.at + told.pause

    def told(self, short: str) -> None:
        """It was spoken of now."""
        now, last = self._clock(), self._told.get(short)
        if last is None or now - last.at > 2 * last.pause + QUIET:
            self._told[short] = _Told(now, FIRST, 1)
        else:
            pause = FIRST if last.times < FREE else min(MOST, last.pause * 2)
            self._told[short] = _Told(now, pause, last.times + 1)
        self._forget(now)

    def _forget(self, now: float) -> None:
        for short in [short for short, one in self._told.items() if now - one.at > 4 * MOST]:
            del self._told[short]
