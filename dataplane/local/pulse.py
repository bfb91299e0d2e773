"""Whether runs leave a replica's queue, from what the replica itself counts.

The worst server is one that answers and runs nothing: nobody is told, and everything waits.
"""

from dataclasses import dataclass
from typing import Any

from workflows.drift import MOVES

SILENT_SECONDS = 20.0
"""A queue with a free worker asks twice a second; after so long without it has come to a stop."""


@dataclass(frozen=True)
class Pulse:
    """Its queue in numbers, times in seconds."""

    open: bool
    open_for: float
    """For how long it could have taken runs."""
    pending: int | None
    """Runs that somebody could run now; None if that could not be counted."""
    oldest: float | None
    """For how long the first of them waits."""
    busy: int
    of: int
    """How many runs it takes at once."""
    asked: float
    """Since when its queue has not asked for runs."""
    taken: float
    """Since when it was given none."""

    @classmethod
    def told(cls, said: Any) -> "Pulse | None":
        """As a replica's entry tells it; None for what anybody else may answer."""
        try:
            return cls(
                open=bool(said["open"]),
                open_for=float(said["open_for"]),
                pending=None if said["pending"] is None else int(said["pending"]),
                oldest=None if said["oldest"] is None else float(said["oldest"]),
                busy=int(said["busy"]),
                of=int(said["of"]),
                asked=float(said["asked"]),
                taken=float(said["taken"]),
            )
        except (LookupError, TypeError, ValueError):
            return None


def work(pulse: Pulse, stuck_seconds: float) -> tuple[str, float] | None:
    """`MOVES`, or in what way it is stuck, and for how many seconds; None for one that is not to run anything."""
    if not pulse.open or pulse.of <= 0:
        return None
    silent = min(pulse.asked, pulse.open_for)
    if pulse.busy < pulse.of and silent > SILENT_SECONDS:
        return f"stuck: its queue has not asked for runs for {silent:.0f} s", silent
    if pulse.pending and pulse.oldest is not None and pulse.busy == 0:
        waited = min(pulse.oldest, pulse.open_for, pulse.taken)
        if waited > stuck_seconds:
            runs = "1 run waits" if pulse.pending == 1 else f"{pulse.pending} runs wait"
            return f"stuck: {runs} for {waited:.0f} s, 0 of {pulse.of} workers busy", waited
    return MOVES, 0.0
