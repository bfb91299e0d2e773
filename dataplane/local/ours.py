"""What is being done to deployments by ourselves, so that the watch tells our doing from everybody else's.

A mark is a file, because whoever does something and whoever watches may be different processes, and either
may be killed at any moment. The mark of a process that is dead does not count: what it left half done is
news. Ended marks stay for a while, as a change may be looked at after its doer has gone on.
"""

import contextlib
import itertools
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from workflows import names

SETTLE = 1.0
"""Seconds in which what a deed has set off still shows: a socket closed, a state told by the supervisor."""
KEPT = 120.0
"""Seconds for which ended marks are kept, for a watch that is away for a moment."""
DONE = "done."


@dataclass(frozen=True)
class Doing:
    """What was marked at one moment. Times are seconds since 1970."""

    now: frozenset[UUID]
    ended: dict[UUID, float]

    def since(self, deployment_id: UUID, moment: float) -> bool:
        """Whether anything we did may show in what changed after that moment."""
        ended = self.ended.get(deployment_id)
        return deployment_id in self.now or (ended is not None and ended >= moment - SETTLE)

    @property
    def known(self) -> set[UUID]:
        return {*self.now, *self.ended}


class Ours:
    """The marks of one home."""

    def __init__(self, home: Path) -> None:
        self._place = home / "run" / "ours"
        self._count = itertools.count()
        self._read: dict[str, tuple[UUID, int, str]] = {}

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
        fresh.write_text(f"{deployment_id} {pid} {_born(pid)}")
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
        now: set[UUID] = set()
        ended: dict[UUID, float] = {}
        there: dict[str, tuple[UUID, int, str]] = {}
        for entry in self._entries():
            told = self._read.get(entry.name) or _told(entry.path)
            if told is None:
                continue
            there[entry.name] = told
            deployment_id, pid, born = told
            if entry.name.startswith(DONE):
                at = int(entry.name.rpartition(".")[2]) / 1e9
                ended[deployment_id] = max(at, ended.get(deployment_id, 0.0))
            elif _born(pid) == born:
                now.add(deployment_id)
            else:
                Path(entry.path).unlink(missing_ok=True)
        self._read = there
        return Doing(frozenset(now), ended)

    def _clean(self) -> None:
        oldest = time.time_ns() - int(KEPT * 1e9)
        for entry in self._entries():
            if entry.name.startswith(DONE) and int(entry.name.rpartition(".")[2]) < oldest:
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


def _told(path: str) -> tuple[UUID, int, str] | None:
    try:
        with open(path) as file:
            deployment_id, pid, born = file.read().split()
        return UUID(deployment_id), int(pid), born
    except (OSError, ValueError):
        # Ended or cleaned away since it was listed, or nothing of ours.
        return None
