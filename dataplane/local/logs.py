"""From the files that processes write to deliveries that the api can take: the plane's one reader of logs.

Processes never speak to us; they write files, and supervisor rotates them. So the servers need nothing of
ours to live, and a dead shipper loses nothing: it goes on where the api had confirmed. Files are watched,
not polled; a slow look around catches what the kernel did not tell.

Entries of all logs are merged by their time, so that the oldest is shipped first: no chatty deployment holds
the others up, and after an outage the lines of two replicas still interleave as they happened.
"""

import asyncio
import contextlib
import heapq
import json
import os
import re
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import structlog
import watchfiles

from dataplane.local.entries import Entry
from dataplane.local.parts import Mark
from dataplane.local.trail import Trail
from workflows.lines import MOST_BYTES, MOST_LINES, Kind, Line

log = structlog.get_logger()
Result = TypeVar("Result")

NAME = re.compile(r"(deploy)/([0-9a-f]{8})/(\d{1,9})-(\d{1,3})\.log|(build)/([0-9a-f]{8})/(\d{1,9})\.log")
BACKUP = re.compile(r"\.\d$")
FORGET_AFTER = 60.0
SAVE_EVERY = 1.0


@dataclass(frozen=True)
class Batch:
    """Lines to deliver, and the marks that hold once they were."""

    lines: list[Line]
    marks: dict[str, Mark] = field(default_factory=dict)


class Tailer:
    """Follows `deploy/<short>/<number>-<i>.log` and `build/<short>/<number>.log` below the logs' directory.

    `async for batch in tailer.batches(): deliver(batch.lines); tailer.confirm(batch)`. The next batch is read
    only when it is asked for, so a slow api costs patience, never memory. `marks` is the file that remembers
    what was confirmed.
    """

    def __init__(
        self,
        logs: Path,
        marks: Path,
        *,
        most_lines: int = MOST_LINES,
        most_bytes: int = MOST_BYTES,
        half_after: float = 5.0,
        pause: float = 0.5,
        look_around: float = 10.0,
    ) -> None:
        self._logs = logs.absolute()
        self._file = marks
        self._most_lines, self._most_bytes = most_lines, most_bytes
        self._half_after, self._pause = half_after, pause
        self._look_around = look_around
        self._trails: dict[str, Trail] = {}
        self._marks = _load(marks)
        self._unsaved = False
        self._saved_at = 0.0
        self._touched: set[str] = set()
        self._stale = False
        self._wake = asyncio.Event()

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """Batches for ever, each as soon as there is at least one line."""
        for kind in ("deploy", "build"):
            (self._logs / kind).mkdir(parents=True, exist_ok=True)
        watching = asyncio.create_task(self._watch())
        try:
            active = await _whole(self._look)
            # Once more soon: what is written before the watch stands would wait for the next look around.
            looked = time.monotonic() - self._look_around + 1
            while True:
                batch = await _whole(self._collect, active)
                if batch.lines:
                    yield batch
                if self._unsaved and (not batch.lines or time.monotonic() - self._saved_at > SAVE_EVERY):
                    await _whole(self._save)
                if not batch.lines:
                    await self._sleep(active, looked)
                self._wake.clear()
                touched, self._touched = self._touched, set()
                active |= touched
                if self._stale or time.monotonic() - looked >= self._look_around:
                    self._stale = False
                    active |= await _whole(self._look)
                    looked = time.monotonic()
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
            self._save()
            for trail in self._trails.values():
                trail.close()
            self._trails.clear()

    def confirm(self, batch: Batch) -> None:
        """The batch has arrived; it will not be read again."""
        if batch.marks:
            self._marks.update(batch.marks)
            self._unsaved = True

    # -- what moved ----------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            try:
                paths = [self._logs / "deploy", self._logs / "build"]
                async for changes in watchfiles.awatch(*paths, watch_filter=None, debounce=300, step=100):
                    for _, changed in changes:
                        if name := self._name(changed):
                            self._touched.add(name)
                        elif await asyncio.to_thread(os.path.isdir, changed):
                            # What was written in it before it was watched, the kernel does not tell.
                            self._stale = True
                    if self._touched or self._stale:
                        self._wake.set()
            except OSError as error:
                # Out of inotify watches: the look around goes on alone.
                log.warning("logs cannot be watched", error=str(error), every=self._look_around)
            await asyncio.sleep(self._look_around)

    async def _sleep(self, active: set[str], looked: float) -> None:
        until = looked + self._look_around
        dues = [self._trails[name].due for name in active if name in self._trails]
        left = min([until, *(due for due in dues if due is not None)]) - time.monotonic()
        with contextlib.suppress(TimeoutError):
            # Not `wait_for`: in 3.11 it forgets a cancellation that comes together with the wake.
            async with asyncio.timeout(max(left, 0.01)):
                await self._wake.wait()

    def _name(self, path: str) -> str | None:
        with contextlib.suppress(ValueError):
            name = Path(BACKUP.sub("", path)).relative_to(self._logs).as_posix()
            return name if NAME.fullmatch(name) else None
        return None

    def _look(self) -> set[str]:
        """All logs that hold something unread; forgets those that were deleted."""
        found = {
            name
            for pattern in ("deploy/*/*.log*", "build/*/*.log*")
            for path in self._logs.glob(pattern)
            if (name := self._name(str(path)))
        }
        for name in set(self._marks) - found:
            trail = self._trails.get(name)
            if trail is None or (trail.peek() is None and trail.gone):
                self._drop(name)
                del self._marks[name]
                self._unsaved = True
        for name, trail in list(self._trails.items()):
            if trail.idle > FORGET_AFTER and trail.peek() is None:
                if mark := trail.rest():
                    self._marks[name] = mark
                    self._unsaved = True
                self._drop(name)
        return {name for name in found if self._unread(name)}

    def _unread(self, name: str) -> bool:
        mark = self._marks.get(name)
        if name in self._trails or mark is None:
            return True
        try:
            stat = (self._logs / name).stat()
        except FileNotFoundError:
            return True
        return stat.st_ino != mark.inode or stat.st_size != mark.offset

    def _drop(self, name: str) -> None:
        if trail := self._trails.pop(name, None):
            trail.close()

    # -- reading -------------------------------------------------------------------

    def _collect(self, active: set[str]) -> Batch:
        """The oldest lines of all active logs; a log that has nothing more leaves the set."""
        heads = []
        for name in sorted(active):
            if (found := self._trail(name).peek()) is not None:
                heads.append((found.at, name))
            elif self._trails[name].due is None:
                active.discard(name)
        heapq.heapify(heads)
        batch, size, ends = Batch([]), 0, {}
        while heads and len(batch.lines) < self._most_lines:
            _, name = heads[0]
            trail = self._trails[name]
            found = trail.peek()
            assert found is not None
            size += len(found.entry.message.encode())
            if size > self._most_bytes and batch.lines:
                break
            trail.take()
            batch.lines.append(_line(name, found.epoch, found.position, found.entry, found.at))
            ends[name] = found
            if (following := trail.peek()) is not None:
                heapq.heapreplace(heads, (following.at, name))
            else:
                heapq.heappop(heads)
        for name, found in ends.items():
            batch.marks[name] = self._trails[name].mark(found.end, found.epoch)
        return batch

    def _trail(self, name: str) -> Trail:
        if name not in self._trails:
            self._trails[name] = Trail(
                self._logs / name,
                name,
                self._marks.get(name),
                half_after=self._half_after,
                pause=self._pause,
            )
        return self._trails[name]

    def _save(self) -> None:
        """Not synced to disk: after a power cut the lines since are sent again, under the same names."""
        self._unsaved, self._saved_at = False, time.monotonic()
        marks = {name: asdict(mark) for name, mark in sorted(self._marks.items())}
        fresh = self._file.with_name(self._file.name + ".new")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(json.dumps(marks))
            fresh.replace(self._file)
        except OSError as error:
            self._unsaved = True
            log.warning("log marks not saved", file=str(self._file), error=str(error))


async def _whole(function: Callable[..., Result], *args: object) -> Result:
    """In a thread, and to its end: whoever is cancelled meanwhile must not close files under it."""
    work = asyncio.ensure_future(asyncio.to_thread(function, *args))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise


def _load(file: Path) -> dict[str, Mark]:
    try:
        return {name: Mark(**mark) for name, mark in json.loads(file.read_text()).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        log.warning("log marks unreadable, starting over", file=str(file), error=str(error))
        return {}


def _line(name: str, epoch: str, position: int, entry: Entry, at: datetime) -> Line:
    match = NAME.fullmatch(name)
    assert match is not None
    kind: Kind = "deploy" if match[1] else "build"
    short, number = (match[2], match[3]) if match[1] else (match[6], match[7])
    return Line.model_construct(
        deployment=short,
        number=int(number),
        kind=kind,
        replica=match[4],
        at=at,
        level=entry.level,
        message=entry.message,
        stream=f"{name}@{epoch}",
        position=position,
    )
