"""A whole home at one glance: what is there of each deployment, from bulk looks only, in pages.

Nothing here knows a wish, opens a secret or asks a replica. Looks that find nobody to ask leave their fields
out of `looked`, so that what cannot be seen is not taken for missing.
"""

import asyncio
import hashlib
import json
import os
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import structlog

from dataplane.images.bundle import COMPLETE, RECORD, VENV
from dataplane.local import strays
from dataplane.local.slots import SLOTS, SOCKET
from dataplane.local.supervisor import State, Supervisor
from workflows import drift
from workflows.drift import Fact, Field
from workflows.shapes import Resource, ResourceKind
from workflows.surveys import Seen, SurveyPage

log = structlog.get_logger()

PAGE = 500
SERVER = re.compile(r"server-([0-9a-f]{8})-(\d+)-\d+")
REDIS = re.compile(r"redis-([0-9a-f]{8})")
SPEC = re.compile(r'^environment=GRAPHYARD_SPEC="([0-9a-f]+)"$', re.MULTILINE)
DOOR = re.compile(r"(?:.+-)?([0-9a-f]{8})\.on")
SLOT = re.compile(r"([0-9a-f]{8})\.(\d)")
MARKER = re.compile(r"([0-9a-f]{8})-(\d+)")
DATA = re.compile(r"[0-9a-f]{8}")
EMPTY_BASE = 128
"""Bytes; Valkey writes some ninety where it holds nothing."""
STATES = {"RUNNING": drift.RUNNING, "STARTING": drift.STARTING, "STOPPING": drift.STOPPING}
SUPERVISED = (Field.PROCESS, Field.REDIS)
WRITTEN = (Field.IMAGE, Field.ENVIRONMENT, Field.ROUTE, Field.LINK)
CATALOGUED = (Field.DATABASE, Field.ROLE)
UNSUPERVISED = "unsupervised"


class Catalogue(Protocol):
    """The part of Postgres that a survey asks."""

    async def surveyed(self) -> dict[str, Seen]: ...


@dataclass
class _Written:
    """A program's two files."""

    image: str | None = None
    whole: bool = False
    """Whether both are there and belong together."""


@dataclass
class _Door:
    """Where callers are led, as the links and markers say."""

    slug: str = ""
    slots: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Each slot's revision and replica."""
    takes: set[int] = field(default_factory=set)

    def told(self) -> str:
        """As one text; `revision <number>` alone where all is in order."""
        numbers = {number for number, _ in self.slots.values()}
        if not self.slots:
            return drift.MISSING
        if len(numbers) > 1:
            return f"revisions {' and '.join(str(one) for one in sorted(numbers))} at once"
        (number,) = numbers
        indexes = [self.slots[slot][1] if slot in self.slots else -1 for slot in range(SLOTS)]
        replicas = max(indexes) + 1
        if indexes != [slot % replicas for slot in range(SLOTS)]:
            return f"revision {number} in part"
        if self.takes != {number}:
            return f"revision {number}, but runs are taken by {_listed(self.takes - {number}) or 'none'}"
        return f"revision {number}"


@dataclass
class _Valkey:
    listens: bool = False
    data: bool = False
    """Whether there is a directory for its data, empty or not."""
    holds: bool = False


@dataclass
class _Disk:
    """What the directories of a home show, by program and by deployment."""

    written: dict[str, _Written] = field(default_factory=dict)
    doors: dict[str, _Door] = field(default_factory=dict)
    valkeys: dict[str, _Valkey] = field(default_factory=dict)
    sockets: dict[str, float] = field(default_factory=dict)
    """Each server's socket and since when it is there."""
    images: dict[str, str] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    """Servers that live without a supervisor."""
    suspended: set[int] = field(default_factory=set)


class Survey:
    """Looks over one home."""

    def __init__(self, name: str, home: Path, supervisor: Supervisor, postgres: Catalogue) -> None:
        self._name = name
        self._home = home
        self._supervisor = supervisor
        self._postgres = postgres

    async def pages(self) -> AsyncIterator[SurveyPage]:
        """Everything of ours, in the order of its digits; the ranges of the pages leave no gap."""
        # A catalogue that answers late would show what was made since as missing: the wish is compared later.
        catalogue, states = await asyncio.gather(self._catalogue(), self._supervisor.glance())
        disk = await asyncio.to_thread(self._disk, states or {})
        looked = [*WRITTEN]
        looked += SUPERVISED if states is not None else ()
        looked += CATALOGUED if catalogue is not None else ()
        shorts = sorted({*_shorts(disk, states or {}), *(catalogue or {})})
        firsts = ["", *shorts[PAGE::PAGE]]
        for at, first in enumerate(firsts):
            seen = []
            for short in shorts[at * PAGE : (at + 1) * PAGE]:
                one = (catalogue or {}).get(short) or Seen(short=short)
                one.facts += _facts(short, disk, states)
                one.resources += _resources(short, disk, states or {})
                seen.append(one)
            end = firsts[at + 1] if at + 1 < len(firsts) else None
            yield SurveyPage(plane=self._name, first=first, end=end, looked=looked, seen=seen)

    async def _catalogue(self) -> dict[str, Seen] | None:
        try:
            return await self._postgres.surveyed()
        except Exception as error:  # away, restarting, out of connections: all the same here
            log.warning("the survey could not see Postgres", error=type(error).__name__)
            return None

    def _disk(self, states: dict[str, State]) -> _Disk:
        disk = _Disk()
        for name in _names(self._home / "etc" / "conf.d", ".conf") | _names(
            self._home / "etc" / "specs", ".json"
        ):
            if SERVER.fullmatch(name) or REDIS.fullmatch(name):
                disk.written[name] = self._read(name)
        for image in {one.image for one in disk.written.values() if one.image}:
            disk.images[image] = _bundle(self._home / "images" / image.removeprefix("sha256:"))
        self._doors(disk)
        self._valkeys(disk)
        for entry in _entries(self._home / "run" / "rev"):
            if SOCKET.fullmatch(entry.name):
                disk.sockets[f"server-{entry.name.removesuffix('.sock')}"] = entry.stat().st_ctime
        pids = {one.pid for one in states.values()}
        disk.suspended = {pid for pid in pids if pid and _suspended(pid)}
        for process, socket in strays.sockets_of(f"{self._home}/run/rev/"):
            if process not in pids:
                disk.unknown.add(f"server-{Path(socket).stem}")
        return disk

    def _read(self, name: str) -> _Written:
        try:
            spec = (self._home / "etc" / "specs" / f"{name}.json").read_bytes()
            python = Path(json.loads(spec)["argv"][0])
        except (OSError, ValueError, LookupError, TypeError):
            return _Written()
        image = None
        if python.parts[-3:-1] == (VENV, "bin") and python.parents[3] == self._home / "images":
            image = f"sha256:{python.parts[-4]}"
        try:
            conf = (self._home / "etc" / "conf.d" / f"{name}.conf").read_text()
        except (OSError, ValueError):
            return _Written(image)
        told = SPEC.search(conf)
        return _Written(image, told is not None and told[1] == hashlib.sha256(spec).hexdigest()[:32])

    def _doors(self, disk: _Disk) -> None:
        for entry in _entries(self._home / "run" / "up"):
            if named := DOOR.fullmatch(entry.name):
                disk.doors.setdefault(named[1], _Door()).slug = entry.name.removesuffix(".on")
            elif named := SLOT.fullmatch(entry.name):
                door = disk.doors.setdefault(named[1], _Door())
                to = SOCKET.fullmatch(os.path.basename(_target(entry.path)))
                if to and to[1] == named[1]:
                    door.slots[int(named[2])] = int(to[2]), int(to[3])
        for entry in _entries(self._home / "run" / "take"):
            if named := MARKER.fullmatch(entry.name):
                disk.doors.setdefault(named[1], _Door()).takes.add(int(named[2]))

    def _valkeys(self, disk: _Disk) -> None:
        for entry in _entries(self._home / "run" / "redis"):
            if entry.name.endswith(".sock") and DATA.fullmatch(entry.name.removesuffix(".sock")):
                disk.valkeys.setdefault(entry.name.removesuffix(".sock"), _Valkey()).listens = True
        for entry in _entries(self._home / "data" / "redis"):
            if DATA.fullmatch(entry.name):
                valkey = disk.valkeys.setdefault(entry.name, _Valkey())
                valkey.data, valkey.holds = True, holds_data(Path(entry.path))


def holds_data(directory: Path) -> bool:
    """Whether a Valkey's directory has anything in it that somebody may miss."""
    for entry in [*_entries(directory), *_entries(directory / "appendonlydir")]:
        if not entry.is_file(follow_symlinks=False) or entry.name in ("valkey.conf",):
            continue
        size = entry.stat(follow_symlinks=False).st_size
        if entry.name.endswith(".manifest") or (".base." in entry.name and size <= EMPTY_BASE):
            continue
        if size:
            return True
    return False


def _shorts(disk: _Disk, states: dict[str, State]) -> Iterator[str]:
    for name in {*disk.written, *states, *disk.unknown}:
        if named := SERVER.fullmatch(name) or REDIS.fullmatch(name):
            yield named[1]
    yield from disk.doors
    yield from disk.valkeys


def _facts(short: str, disk: _Disk, states: dict[str, State] | None) -> Iterator[Fact]:
    images = set()
    for name in sorted(_servers(short, disk, states or {})):
        written = disk.written.get(name, _Written())
        if states is not None and (seen := _process(name, states.get(name), disk)) != drift.MISSING:
            yield Fact(field=Field.PROCESS, name=name, seen=seen)
        if name in disk.written:
            told = drift.AS_WISHED if written.whole else "not as it was written down"
            yield Fact(field=Field.ENVIRONMENT, name=name, seen=told)
        if written.image:
            images.add(written.image)
            yield Fact(field=Field.IMAGE, name=name, seen=written.image)
    for image in sorted(images):
        yield Fact(field=Field.BUNDLE, name=image, seen=disk.images[image])
    if (door := disk.doors.get(short)) and door.slug:
        yield Fact(field=Field.ROUTE, name=door.slug, seen=drift.OPEN)
        yield Fact(field=Field.LINK, name=door.slug, seen=door.told())
    valkey, state = f"redis-{short}", (states or {}).get(f"redis-{short}")
    if state is not None:
        yield Fact(field=Field.REDIS, name=valkey, seen=_valkey(short, state, disk))


def _resources(short: str, disk: _Disk, states: dict[str, State]) -> Iterator[Resource]:
    for name in sorted(_servers(short, disk, states)):
        yield Resource(kind=ResourceKind.PROCESS, name=name)
    if door := disk.doors.get(short):
        yield Resource(kind=ResourceKind.ROUTE, name=door.slug or short)
    valkey, name = disk.valkeys.get(short), f"redis-{short}"
    if valkey is not None or name in disk.written or name in states:
        holds = valkey is not None and valkey.holds
        yield Resource(kind=ResourceKind.REDIS, name=name, holds_data=holds)


def _servers(short: str, disk: _Disk, states: dict[str, State]) -> set[str]:
    beginning = f"server-{short}-"
    return {name for name in (*disk.written, *states, *disk.unknown) if name.startswith(beginning)}


def _process(name: str, state: State | None, disk: _Disk) -> str:
    if state is None:
        return UNSUPERVISED if name in disk.unknown else drift.MISSING
    if state.pid in disk.suspended:
        return drift.SUSPENDED
    told = STATES.get(state.state, state.state.lower())
    # The supervisor calls it starting for seconds after it answers; its socket is the last thing it makes.
    if told == drift.STARTING and disk.sockets.get(name, 0.0) >= state.started:
        return drift.RUNNING
    return told


def _valkey(short: str, state: State, disk: _Disk) -> str:
    if state.pid in disk.suspended:
        return drift.SUSPENDED
    told = STATES.get(state.state, state.state.lower())
    valkey = disk.valkeys.get(short, _Valkey())
    return told if told != drift.RUNNING or valkey.listens else "without its socket"


def _bundle(place: Path) -> str:
    if not place.is_dir():
        return drift.MISSING
    lost = [part for part in (COMPLETE, RECORD, f"{VENV}/bin/python") if not (place / part).exists()]
    return f"without {' and '.join(lost)}" if lost else drift.WHOLE


def _suspended(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] == b"T"
    except (OSError, IndexError):
        return False


def _listed(numbers: set[int]) -> str:
    return " and ".join(f"revision {number}" for number in sorted(numbers))


def _names(directory: Path, suffix: str) -> set[str]:
    return {entry.name.removesuffix(suffix) for entry in _entries(directory) if entry.name.endswith(suffix)}


def _target(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _entries(directory: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError:
        return []
