"""One log and its rotated older parts, read as one endless text.

Supervisor rotates by renaming (`x.log` to `x.log.1` and so on) after whatever chunk fills the file, so a
line may begin in one file and end in the next. A trail keeps the file it reads open, finishes it after a
rename, and goes on with its successor; positions count on across files. Where a trail stands is a `Mark`:
files are known again by inode and first bytes, never by name.
"""

import hashlib
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dataplane.local.entries import Assembler, Entry, decode
from dataplane.local.parts import HEAD, Mark, Part, listing, opened

LONGEST_LINE = 256 * 1024
STEP = timedelta(microseconds=20)


@dataclass(frozen=True, slots=True)
class Found:
    """One entry with its place: where it begins in the stream, and the spot after it."""

    entry: Entry
    at: datetime
    epoch: str
    position: int
    end: "Spot"


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in one of the files."""

    part: "Part"
    offset: int

    @property
    def position(self) -> int:
        return self.part.base + self.offset


class Trail:
    """The entries of one log, in order, from a mark on; `None` starts with the oldest part there is."""

    def __init__(self, path: Path, name: str, mark: Mark | None, *, half_after: float, pause: float) -> None:
        self.path = path
        self.name = name
        self._half_after, self._pause = half_after, pause
        self._epoch = ""
        self._seed = ""
        self._part: Part | None = None
        self._offset = 0
        self._half = b""
        self._half_cut = 0
        self._half_start: Spot | None = None
        self._assembler = Assembler()
        self._ready: deque[Found] = deque()
        self._last = datetime.fromtimestamp(0, UTC)
        self._grown = time.monotonic()
        self._wall = datetime.now(UTC)
        self._open(mark)

    # -- what a caller asks ------------------------------------------------------

    def peek(self) -> Found | None:
        """The next entry, if there is a whole one; reads a little further when needed."""
        while not self._ready and self._fill():
            pass
        if not self._ready:
            self._overdue()
        return self._ready[0] if self._ready else None

    def take(self) -> Found:
        return self._ready.popleft()

    @property
    def due(self) -> float | None:
        """The monotonic moment at which what is unfinished now will be taken as it stands."""
        if self._half:
            return self._grown + self._half_after
        return self._grown + self._pause if self._assembler.open else None

    @property
    def idle(self) -> float:
        """Seconds since anything was read."""
        return time.monotonic() - self._grown

    @property
    def gone(self) -> bool:
        """Whether the log and all its parts were deleted."""
        if self._part is not None and self._part.seen().st_nlink:
            return False
        return not listing(self.path)

    def rest(self) -> Mark | None:
        """The mark after all that was read, for a trail with nothing unfinished."""
        if self._part is None or self._half or self._assembler.open or self._ready or not self._epoch:
            return None
        return self.mark(Spot(self._part, self._offset), self._epoch)

    def mark(self, spot: Spot, epoch: str) -> Mark:
        part = spot.part
        part.known()
        return Mark(epoch, part.base, part.inode, part.head, part.head_size, spot.offset)

    def close(self) -> None:
        if self._part is not None:
            self._part.close()

    # -- reading -----------------------------------------------------------------

    def _open(self, mark: Mark | None) -> None:
        if mark is not None:
            for path, _, _ in listing(self.path):
                part = opened(path, mark.base)
                if part is None:
                    continue
                if part.starts_like(mark) and part.seen().st_size >= mark.offset:
                    self._part, self._offset, self._epoch = part, mark.offset, mark.epoch
                    return
                part.close()
            # What was confirmed is gone or cut off: a new stream, so that no position comes twice.
            self._seed = f"{mark.epoch}{mark.position}"
        self._advance(0)

    def _fill(self) -> bool:
        """Read one chunk on; False at the end of what is there."""
        if self._part is None and not self._advance(0):
            return False
        part = self._part
        assert part is not None
        size = part.seen().st_size
        if size < self._offset:
            self._truncated()
            return True
        chunk = part.read(self._offset)
        if not chunk:
            if not self._rotated(part):
                return False
            # Written between our last read and the rename.
            chunk = part.read(self._offset)
            if not chunk:
                return self._advance(part.base + self._offset)
        self._grown = time.monotonic()
        self._wall = min(datetime.now(UTC), datetime.fromtimestamp(part.seen().st_mtime, UTC))
        self._split(part, chunk)
        return True

    def _split(self, part: Part, chunk: bytes) -> None:
        begin = 0
        while (end := chunk.find(b"\n", begin)) >= 0:
            self._grow(part, chunk[begin:end], self._offset + begin)
            self._line(Spot(part, self._offset + end + 1))
            begin = end + 1
        if begin < len(chunk):
            self._grow(part, chunk[begin:], self._offset + begin)
        self._offset += len(chunk)

    def _grow(self, part: Part, piece: bytes, offset: int) -> None:
        if self._half_start is None:
            self._half_start = Spot(part, offset)
        room = LONGEST_LINE - len(self._half)
        self._half += piece[:room]
        self._half_cut += max(0, len(piece) - room)

    def _line(self, end: Spot) -> None:
        raw, start = self._half, self._half_start
        assert start is not None
        text = decode(raw) + (f" … {self._half_cut} bytes cut" if self._half_cut else "")
        if not self._epoch:
            # From what never changes, so that a tailer that lost its marks finds the same stream again.
            born = f"{self.name}|{start.part.inode}|{self._seed}|".encode() + raw[:HEAD]
            self._epoch = hashlib.sha256(born).hexdigest()[:12]
        self._half, self._half_cut, self._half_start = b"", 0, None
        for entry, first, last in self._assembler.feed(text, start, end):
            self._found(entry, first, last)

    def _found(self, entry: Entry, start: Spot, end: Spot) -> None:
        at = entry.at or max(self._wall, self._last + STEP)
        self._last = max(self._last, min(at, self._wall)) if entry.at else at
        self._ready.append(Found(entry, at, self._epoch, start.position, end))

    def _overdue(self) -> None:
        due = self.due
        if due is None or time.monotonic() < due:
            return
        if self._half and self._part is not None:
            self._line(Spot(self._part, self._offset))
        for entry, first, last in self._assembler.flush():
            self._found(entry, first, last)

    # -- from file to file -------------------------------------------------------

    def _rotated(self, part: Part) -> bool:
        try:
            return self.path.stat().st_ino != part.inode
        except FileNotFoundError:
            return True

    def _advance(self, base: int) -> bool:
        """Open the file after the current one (or the oldest); False while there is none."""
        while True:
            step = self._step(base)
            if step is not None:
                return step

    def _step(self, base: int) -> bool | None:
        found = listing(self.path)
        inodes = [inode for _, inode, _ in found]
        if self._part is None:
            later = found
        elif self._part.inode in inodes:
            later = found[inodes.index(self._part.inode) + 1 :]
        else:
            # Deleted under us: rotated away while we were slow, or cleared. What was written later is new.
            since = self._part.seen().st_mtime_ns
            later = [one for one in found if one[2] >= since]
        if not later:
            return False
        path, inode, _ = later[0]
        if (part := opened(path, base)) is None:
            return False
        if part.inode != inode:
            part.close()
            return None  # renamed in between: look again
        if self._part is not None:
            self._part.close()
        self._part, self._offset = part, 0
        return True

    def _truncated(self) -> None:
        part = self._part
        assert part is not None
        self._seed = f"{self._epoch}{part.base + self._offset}"
        self._epoch, self._offset = "", 0
        self._half, self._half_cut, self._half_start = b"", 0, None
        part.head_size = 0
