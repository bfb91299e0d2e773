"""Where images lie, who may touch one now, and which may go.

    images/<digest>/          a bundle; complete once `.complete` lies in it, written last
    images/bases/<digest>/    the installed packages of one lock, hard-linked into every bundle that has it
    images/locks/<key>.txt    what was resolved, by what was asked
    images/building/          lock files, and sources of builds that still resolve

A half-made directory belongs to whoever holds its lock. The kernel drops a lock with its holder, so after a
kill the next build finds the place free, clears it and starts over.
"""

import asyncio
import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from uuid import uuid4

from dataplane.images.bundle import COMPLETE, RECORD, VENV, Record, hexadecimal

LOCKS_KEPT = 180 * 24 * 3600.0
OWN = frozenset({"bases", "locks", "building"})


class Store:
    """The directory `images/` of a home."""

    def __init__(self, images: Path, grace: float) -> None:
        self.images = images
        self.bases = images / "bases"
        self.locks = images / "locks"
        self.building = images / "building"
        self._grace = grace
        """What was used within so many seconds stays: its row may still be on its way to the records."""

    def prepare(self) -> None:
        """Make the directories; only the plane's own user may look into them."""
        for path in (self.images, self.bases, self.locks, self.building):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def place(self, digest: str) -> Path:
        return self.images / hexadecimal(digest)

    def record(self, digest: str) -> Record | None:
        """What is known of a complete bundle; None if there is none, or its interpreter has gone."""
        place = self.place(digest)
        if not (place / COMPLETE).exists() or not (place / VENV / "bin" / "python").exists():
            return None
        try:
            return Record.model_validate_json((place / RECORD).read_bytes())
        except (OSError, ValueError):
            return None

    def touch(self, digest: str) -> None:
        """Somebody just decided to use it."""
        with contextlib.suppress(FileNotFoundError):
            os.utime(self.place(digest) / COMPLETE)

    def finished(self, place: Path) -> bool:
        """Whether `finish` was reached there; it counts as used now."""
        with contextlib.suppress(FileNotFoundError):
            os.utime(place / COMPLETE)
            return True
        return False

    def finish(self, place: Path) -> None:
        """From now on it is complete, also after a power cut."""
        mark = place / COMPLETE
        with mark.open("w") as file:
            os.fsync(file.fileno())
        _sync(place)
        _sync(place.parent)

    @contextlib.asynccontextmanager
    async def alone(self, name: str, waiting: Callable[[], None]) -> AsyncIterator[None]:
        """Hold what is called `name`, among tasks and processes; `waiting` is called while another does."""
        path = self.building / f"{name}.lock"
        while (fd := _try_lock(path)) is None:
            waiting()
            await asyncio.sleep(0.1)
        try:
            yield
        finally:
            _unlock(path, fd)

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        """A directory of one's own, gone afterwards; after a kill, collected."""
        path = self.building / uuid4().hex
        path.mkdir(mode=0o700)
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(fd, fcntl.LOCK_EX)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
            os.close(fd)

    def collect(self, keep: set[str]) -> int:
        """Remove the bundles nobody may need, and what only they needed; the number of bundles removed."""
        if not self.images.is_dir():
            return 0
        kept = {hexadecimal(digest) for digest in keep}
        gone = 0
        bases: set[str] = set()
        for place in sorted(self.images.iterdir()):
            if place.name in OWN or not place.is_dir():
                continue
            if place.name not in kept and self._old(place) and self._remove(place, place.name):
                gone += 1
            elif (record := self.record(place.name)) is not None:
                bases.add(record.base)
        for place in _entries(self.bases):
            if place.name not in bases and self._old(place):
                self._remove(place, f"base-{place.name}")
        for place in _entries(self.building):
            self._sweep(place)
        for place in _entries(self.locks):
            if time.time() - place.stat().st_mtime > LOCKS_KEPT:
                place.unlink(missing_ok=True)
        return gone

    def _old(self, place: Path) -> bool:
        mark = place / COMPLETE
        try:
            return time.time() - (mark if mark.exists() else place).stat().st_mtime > self._grace
        except FileNotFoundError:
            return False

    def _remove(self, place: Path, name: str) -> bool:
        """Remove a directory unless somebody is at it; it stops being complete before it stops being."""
        path = self.building / f"{name}.lock"
        self.building.mkdir(mode=0o700, exist_ok=True)
        fd = _try_lock(path)
        if fd is None:
            return False
        try:
            (place / COMPLETE).unlink(missing_ok=True)
            shutil.rmtree(place, ignore_errors=True)
            return not place.exists()
        finally:
            _unlock(path, fd)

    def _sweep(self, place: Path) -> None:
        """A leftover of a build that was killed."""
        with contextlib.suppress(FileNotFoundError):
            if place.suffix == ".lock":
                if (fd := _try_lock(place)) is not None:
                    _unlock(place, fd)
                return
            fd = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if time.time() - os.fstat(fd).st_mtime > min(self._grace, 60):
                    shutil.rmtree(place, ignore_errors=True)
            except BlockingIOError:
                pass
            finally:
                os.close(fd)


def _entries(place: Path) -> list[Path]:
    return sorted(place.iterdir()) if place.is_dir() else []


def _try_lock(path: Path) -> int | None:
    """The descriptor that holds the lock, or None while somebody else does."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The last holder removed the file while we opened it: what we hold then is not what others will find.
        if os.path.exists(path) and os.stat(path).st_ino == os.fstat(fd).st_ino:
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(fd)
    return None


def _unlock(path: Path, fd: int) -> None:
    path.unlink(missing_ok=True)
    os.close(fd)


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
