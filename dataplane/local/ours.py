"""What is being done to deployments by ourselves, so that the watch tells our doing from everybody else's.

A mark is a file, because whoever does something and whoever watches may be different processes, and either
may be killed at any moment. The mark of a process that is dead does not count: what it left half done is
news. Ended marks stay for a while, as a change may be looked at after its doer has gone on.
"""

import contextlib
import itertools
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from workflows import names

SETTLE = 0.5
"""Seconds in which what a deed has set off may still happen: a program spawned, a socket closed."""
BLUR = 0.05
"""Seconds by which the kernel's own times may be early: it counts a process's in hundredths."""
KEPT = 120.0
"""Seconds for which ended marks are kept, for a watch that is away for a moment."""
DONE = "done."


@dataclass(frozen=True)
class Doing:
    """Our deeds of the last minutes, each from when to when (seconds since 1970; without end if under way)."""

    spans: dict[UUID, list[tuple[float, float]]]

    def covers(self, deployment_id: UUID, first: float, last: float) -> bool:
        """Whether what changed some time between these two moments may be our doing."""
        spans = self.spans.get(deployment_id, ())
        return any(begun - BLUR <= last and first <= ended + SETTLE for begun, ended in spans)


@dataclass(frozen=True)
class _Mark:
    deployment_id: UUID
    pid: int
    born: str
    begun: float


class Ours:
    """The marks of one home."""

    def __init__(self, home: Path) -> None:
        self._place = home / "run" / "ours"
        self._count = itertools.count()
        self._read: dict[str, _Mark] = {}

    @contextlib.contextmanager
    def during(self, deployment_id: UUID) -> Iterator[None]:
        """Whatever changes about the deployment in here is our doing. May be nested, and entered by several
        at once."""
        self._place.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._clean()
        pid, number = os.getpid(), next(self._count)
        # Two of us may live in one process: the id tells their marks apart.
        own = f"{pid}.{id(self):x}.{number}"
        mark = self._place / f"{names.short(deployment_id)}.{own}"
        fresh = self._place / f".{own}"
        fresh.write_text(f"{deployment_id} {pid} {_born(pid)} {time.time()}")
        fresh.replace(mark)
        try:
            yield
        finally:
            # One rename: at no moment is a deed neither under way nor ended. Its new name is without the
            # deployment's: of one that was removed nothing may be found.
            with contextlib.suppress(FileNotFoundError):
                mark.replace(self._place / f"{DONE}{own}.{time.time_ns()}")

    def look(self) -> Doing:
        """What is marked now. Look after looking at what may have changed, never before."""
        spans: dict[UUID, list[tuple[float, float]]] = {}
        there: dict[str, _Mark] = {}
        for entry in self._entries():
            mark = self._read.get(entry.name) or _told(entry.path)
            if mark is None:
                continue
            there[entry.name] = mark
            if entry.name.startswith(DONE):
                ended = _ended(entry.name)
            elif _born(mark.pid) == mark.born:
                ended = math.inf
            else:
                Path(entry.path).unlink(missing_ok=True)
                continue
            spans.setdefault(mark.deployment_id, []).append((mark.begun, ended))
        self._read = there
        return Doing(spans)

    def _clean(self) -> None:
        oldest = time.time() - KEPT
        for entry in self._entries():
            if entry.name.startswith(DONE) and _ended(entry.name) < oldest:
                Path(entry.path).unlink(missing_ok=True)

    def _entries(self) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self._place) as entries:
                return [entry for entry in entries if not entry.name.startswith(".")]
        except FileNotFoundError:
            return []


def _born(pid: int) -> str:
    """When the process was started, as the kernel counts it; pids are used again. Empty if it is dead."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            words = file.read().rpartition(b")")[2].split()
    except OSError:
        return ""
    return "" if words[0] in (b"Z", b"X") else words[19].decode()


def _ended(name: str) -> float:
    return int(name.rpartition(".")[2]) / 1e9


def _told(path: str) -> _Mark | None:
    try:
        with open(path) as file:
            deployment_id, pid, born, begun = file.read().split()
        return _Mark(UUID(deployment_id), int(pid), born, float(begun))
    except (OSError, ValueError):
        # Ended or cleaned away since it was listed, or nothing of ours.
        return None
