"""The files a log consists of: the one that is written, and the older ones it was rotated to.

Names move at every rotation, so a file is known by its inode and its first bytes, and is kept open while it
is read.
"""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

CHUNK = 64 * 1024
HEAD = 256
BACKUPS = 9


@dataclass(frozen=True)
class Mark:
    """Everything before it was read. `base` is the stream position of the file's first byte."""

    epoch: str
    base: int
    inode: int
    head: str
    head_size: int
    offset: int

    @property
    def position(self) -> int:
        return self.base + self.offset


class Part:
    """One file of a trail, kept open so that a rename cannot take it away."""

    def __init__(self, path: Path, base: int) -> None:
        self.base = base
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        self.inode = os.fstat(self.fd).st_ino
        self.head_size = 0
        self.head = _digest(b"")

    def read(self, offset: int) -> bytes:
        return os.pread(self.fd, CHUNK, offset)

    def seen(self) -> os.stat_result:
        return os.fstat(self.fd)

    def known(self) -> None:
        """Take down the first bytes, as long as there are more of them than last time."""
        if self.fd >= 0 and self.head_size < HEAD:
            head = os.pread(self.fd, HEAD, 0)
            self.head, self.head_size = _digest(head), len(head)

    def starts_like(self, mark: Mark) -> bool:
        return self.inode == mark.inode and _digest(os.pread(self.fd, mark.head_size, 0)) == mark.head

    def close(self) -> None:
        if self.fd >= 0:
            self.known()
            os.close(self.fd)
            self.fd = -1


def _parts(path: Path) -> list[tuple[Path, int, int]]:
    """The log's files that are there, oldest first, each with its inode and last change."""
    found = []
    for part in [path.with_name(f"{path.name}.{index}") for index in range(BACKUPS, 0, -1)] + [path]:
        try:
            seen = part.lstat()
        except OSError:
            continue
        if stat.S_ISREG(seen.st_mode):
            found.append((part, seen.st_ino, seen.st_mtime_ns))
    return found


def listing(path: Path) -> list[tuple[Path, int, int]]:
    """Looked at twice: a rotation in the middle of one look shows a file twice or never."""
    before: list[tuple[Path, int]] | None = None
    while True:
        now = _parts(path)
        names = [(part, inode) for part, inode, _ in now]
        if names == before:
            return now
        before = names


def opened(path: Path, base: int) -> Part | None:
    try:
        return Part(path, base)
    except OSError:
        return None


def _digest(head: bytes) -> str:
    return hashlib.sha256(head).hexdigest()[:16]
