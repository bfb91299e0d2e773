"""What a server's process is, in the words of drift: from what supervisor says, what the kernel says, and how
it died before. Pure.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from dataplane.local.supervisor import State
from workflows.drift import MISSING, RUNNING, STARTING, STOPPING, SUSPENDED

DEAD, LOOPING = "dead", "looping"
MOST_DEATHS = 3
WITHIN = timedelta(minutes=5)
STOPPED = "T"
"""The kernel's letter for a process that somebody stopped; `t` is one that a debugger holds, and stays held."""


def process(
    state: State | None,
    letter: str,
    deaths: Sequence[datetime] = (),
    *,
    answers: bool = False,
    now: datetime,
) -> str:
    """`letter` is the kernel's for the process (empty: none), `deaths` when it died unasked. One that answers
    is up, though supervisor still waits whether it stays."""
    if state is None:
        return MISSING
    if state.state == "STOPPING":
        return STOPPING
    if letter == STOPPED:
        return SUSPENDED
    if state.pid and not letter:
        # Dead for so short a time that supervisor does not know it yet: it will start it again.
        return STARTING
    if state.state == "RUNNING" or (state.state == "STARTING" and answers):
        return RUNNING
    if state.state in ("STARTING", "BACKOFF"):
        recent = sum(now - death <= WITHIN for death in deaths)
        return LOOPING if recent >= MOST_DEATHS else STARTING
    return DEAD


def letter(pid: int) -> str:
    """The kernel's letter for a process; empty if there is none, or only its remains."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            found = file.read().rpartition(b")")[2].split()[0].decode()
    except (OSError, IndexError):
        return ""
    return "" if found in "ZX" else found
