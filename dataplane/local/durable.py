"""Whether what a Valkey is told reaches the disk and will be found there again: what it says of itself, held
against what the kernel shows of its process and what lies in its directory. Needs no password.
"""

import contextlib
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dataplane.valkey.client import Shown
from dataplane.valkey.judged import differing

LOG = "appendonly.aof"
"""What the names of all files begin with that Valkey appends to."""
DIRECTORY = "appendonlydir"
WAITING = ".rescued.json"
"""What a restart has to give back; see `rescue`."""
GONE = " (deleted)"


@dataclass(frozen=True)
class Footing:
    """Where a process stands on the disk, as the kernel knows it."""

    stands_in: str
    """Its directory, wherever that was moved to; empty if it was removed."""
    appends_to: str
    """The file it appends to, wherever that was moved to; empty if there is none."""
    removed: bool
    """Whether that file has no name any more: what is written there ends with the process."""

    def astray(self, data: Path) -> bool:
        """Whether the next start would not find what is appended."""
        place = os.path.dirname(self.appends_to)
        return self.removed or bool(place and place not in (str(data), str(data / DIRECTORY)))


def footing(pid: int) -> Footing | None:
    """None if the process is gone."""
    try:
        directory = os.readlink(f"/proc/{pid}/cwd")
        files = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return None
    targets = []
    for file in files:
        with contextlib.suppress(OSError):
            targets.append(os.readlink(f"/proc/{pid}/fd/{file}"))
    file = next((one for one in targets if os.path.basename(one).startswith(LOG)), "")
    return Footing(
        "" if directory.endswith(GONE) else directory, file.removesuffix(GONE), file.endswith(GONE)
    )


def loose(shown: Shown, data: Path) -> Iterator[str]:
    """What is wrong with how a running one keeps its data."""
    stands = footing(shown.pid)
    if stands is not None:
        if stands.stands_in != str(data):
            yield "on a directory that was moved" if stands.stands_in else "on a directory that was removed"
        elif not stands.appends_to:
            yield "off"
        elif stands.astray(data):
            yield f"on a file that was {'removed' if stands.removed else 'moved'}"
        elif missing := lost(data):
            yield f"without {' and '.join(missing)}"
    if shown.inside:
        wrong = differing(shown)
        yield from (
            f"with {name} {value or 'empty'}" for name, value in wrong.items() if name != "appendonly"
        )
        if shown.persistence.get("aof_last_write_status", "ok") != "ok":
            yield "failing to write"
    if (data / WAITING).exists():
        yield "without what was carried over a restart"
    yield from closed(data)


def lost(data: Path) -> list[str]:
    """Files without which the next start would not find all that was appended."""
    manifest = data / DIRECTORY / f"{LOG}.manifest"
    try:
        lines = [line.split() for line in manifest.read_text().splitlines()]
    except OSError:
        return [manifest.name] if manifest.parent.exists() and not manifest.exists() else []
    # "file <name> seq <number> type <letter>"; those of type h are being taken away.
    named = [words[1] for words in lines if words[:1] == ["file"] and words[-1:] != ["h"]]
    return [name for name in named if not (data / DIRECTORY / name).exists()]


def listens(path: Path) -> bool:
    """Whether some process listens at this path, be its socket still there or not."""
    with open("/proc/net/unix") as table:
        words = [line.split() for line in table]
    return any(len(one) == 8 and one[7] == str(path) and one[3] == "00010000" for one in words)


def closed(data: Path) -> Iterator[str]:
    """Directories and files in which their owner may not write."""
    for path, needed in _modes(data):
        with contextlib.suppress(OSError):
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & needed != needed:
                yield f"in {path.name} of mode {mode:03o}"
    with contextlib.suppress(OSError):
        if data.stat().st_mode & 0o077:
            yield "open to others"


def opened(data: Path) -> None:
    """Give the owner back what they need, and nobody else anything."""
    with contextlib.suppress(FileNotFoundError):
        data.chmod(0o700)
    # Listed only now: a closed directory shows nothing.
    for path, needed in _modes(data):
        with contextlib.suppress(OSError):
            path.chmod(stat.S_IMODE(path.stat().st_mode) | needed)


def began_without(pid: int, data: Path) -> bool:
    """Whether this process never read what lies in its directory: it was started with appending off. Then the
    disk knows more than its memory, and appending anew would overwrite it."""
    try:
        born = time.time() - age(pid)
        written = [path.stat().st_mtime for path in (data / DIRECTORY).iterdir() if path.is_file()]
    except OSError:
        return False
    return bool(written) and max(written) < born


def age(pid: int) -> float:
    """Seconds since this process was started, to the hundredth; raises `OSError` if it is gone."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        ticks = int(file.read().rpartition(b")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def _modes(data: Path) -> Iterator[tuple[Path, int]]:
    yield data, 0o700
    yield data / DIRECTORY, 0o700
    with contextlib.suppress(OSError):
        for path in sorted((data / DIRECTORY).iterdir()):
            yield path, 0o600
