"""How servers died that nobody asked to end, from supervisor's own log and from their last words.

Supervisor itself tells a program's last end in whole seconds and forgets it with the next start; its log has
every one, to the millisecond, with the signal or the exit status. Ends that were asked for read otherwise.
"""

import asyncio
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dataplane.local.entries import parse as entry

TAIL = 512 * 1024
WORDS = 64 * 1024
LATER = timedelta(seconds=0.3)
"""By which a line's own time may lie behind the end of its process."""
LINE = re.compile(
    r"(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(?P<ms>\d{3}) [A-Z]+ "
    r"(?:exited: (?P<died>\S+) \((?P<how>.+); (?:not )?expected\)"
    r"|spawned: '(?P<born>[^']+)' with pid (?P<pid>\d+))"
)
SIGNAL = re.compile(r"terminated by (SIG[A-Z0-9]+)")
KILLED = "SIGKILL"


@dataclass(frozen=True)
class Death:
    """One end that nobody asked for."""

    name: str
    at: datetime
    how: str
    """`SIGKILL`, `exit status 3`."""
    born: datetime | None = None


def parse(text: str) -> Iterator[Death]:
    """The deaths that a supervisor's log tells of, in their order. Its times are local ones."""
    born: dict[str, datetime] = {}
    for line in text.splitlines():
        if not (found := LINE.fullmatch(line)):
            continue
        local = datetime.strptime(found["at"], "%Y-%m-%d %H:%M:%S").astimezone(UTC)
        at = local + timedelta(milliseconds=int(found["ms"]))
        if found["born"]:
            born[found["born"]] = at
        else:
            signal = SIGNAL.match(found["how"])
            how = signal[1] if signal else found["how"]
            yield Death(found["died"], at, how, born.pop(found["died"], None))


def words(text: str, born: datetime | None, died: datetime) -> str:
    """Of a log the part that one life wrote: from its birth to its death, as far as lines tell the time.
    Those that do not are kept where they may be its own."""
    kept: list[str] = []
    after = False
    for line in text.splitlines():
        at = entry(line).at if line.startswith("{") else None
        if at is not None:
            if born is not None and at < born - LATER:
                kept = []
                continue
            after = at > died + LATER
        if not after:
            kept.append(line)
    return "\n".join(kept)


class Deaths:
    """The deaths that one home's supervisor wrote down."""

    def __init__(self, home: Path) -> None:
        self._path = home / "logs" / "supervisord.log"
        self._read: tuple[tuple[int, int], list[Death]] = (0, 0), []
        self._kills = Kills()

    async def since(self, moment: datetime, beginning: str) -> list[Death]:
        """Those of programs whose names begin so."""
        found = await asyncio.to_thread(self._all)
        self._kills.note(found)
        return [one for one in found if one.at >= moment and one.name.startswith(beginning)]

    def by_kernel(self, death: Death) -> bool:
        """Whether it was the kernel that killed it, for want of memory."""
        return death in self._kills.found

    def _all(self) -> list[Death]:
        try:
            told = self._path.stat()
        except OSError:
            return []
        key = told.st_ino, told.st_size
        if key != self._read[0]:
            text = tail(self._path, TAIL)
            if told.st_size < TAIL:
                # Rotated a moment ago, perhaps.
                text = tail(self._path.with_name(f"{self._path.name}.1"), TAIL - told.st_size) + text
            self._read = key, list(parse(text))
        return self._read[1]


class Kills:
    """Which deaths the kernel brought about for want of memory. It counts them and names nobody to us; so it is
    the killed ones that are new whenever the count is."""

    def __init__(self, counter: Path = Path("/proc/vmstat")) -> None:
        self._counter = counter
        self._count = self._counted()
        self._latest: datetime | None = None
        self.found: set[Death] = set()

    def note(self, deaths: Sequence[Death]) -> None:
        """Look at the count, with all deaths known by now."""
        before, self._count = self._count, self._counted()
        latest, self._latest = self._latest, max((one.at for one in deaths), default=self._latest)
        fresh = [one for one in deaths if one.how == KILLED and (latest is None or one.at > latest)]
        if self._count > before and latest is not None:
            self.found.update(fresh)
        self.found.intersection_update(deaths)
        if latest is None:
            self._latest = self._latest or datetime.now(UTC)

    def _counted(self) -> int:
        try:
            lines = self._counter.read_text().splitlines()
        except OSError:
            return 0
        return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def tail(path: Path, size: int) -> str:
    """The last of a file, whole lines; empty if there is none."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - size))
            raw = file.read(size)
    except OSError:
        return ""
    if end > size:
        raw = raw.partition(b"\n")[2]
    return raw.decode(errors="replace")
