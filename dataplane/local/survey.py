"""A whole home at one glance: what is there of each deployment, from bulk looks only, in pages.

Nothing here knows a wish, opens a secret or asks a replica. Looks that find nobody to ask leave their fields
out of `looked`, so that what cannot be seen is not taken for missing.
"""

import asyncio
import json
import os
import re
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import structlog

from dataplane.images.bundle import VENV
from dataplane.images.whole import Bundles
from dataplane.local import seen, strays
from dataplane.local.programs import Files
from dataplane.local.sight import UNSUPERVISED
from dataplane.local.slots import SLOTS, SOCKET
from dataplane.local.supervisor import State, Supervisor
from workflows import drift
from workflows.drift import Fact, Field
from workflows.shapes import Resource, ResourceKind
from workflows.surveys import Seen, SurveyPage

log = structlog.get_logger()

PAGE = 500
SERVER = re.compile(r"server-([0-9a-f]{8})-\d+-\d+")
REDIS = re.compile(r"redis-([0-9a-f]{8})")
DOOR = re.compile(r"(?:.+-)?([0-9a-f]{8})\.on")
SLOT = re.compile(r"([0-9a-f]{8})\.(\d)")
MARKER = re.compile(r"([0-9a-f]{8})-(\d+)")
SHORT = re.compile(r"[0-9a-f]{8}")
EMPTY_BASE = 128
"""Bytes; Valkey writes some ninety where it holds nothing."""
SUPERVISED = (Field.PROCESS, Field.REDIS)
WRITTEN = (Field.ROUTE, Field.LINK)
CATALOGUED = (Field.DATABASE, Field.ROLE)
States = Mapping[str, State]


class Catalogue(Protocol):
    """The part of Postgres that a survey asks."""

    async def surveyed(self) -> dict[str, Seen]: ...


@dataclass
class _Server:
    """One program of a replica: what its files and its process show."""

    written: bool = False
    alive: bool = False
    """Whether a process lives that listens where it would and that no supervisor knows."""
    letter: str = ""
    listens_since: float = 0.0
    images: list[str] = field(default_factory=list)
    """The one its process was started from, and the one it is written down with."""
    wrong: str = ""
    """What its files or its start show that is not as it was written."""


@dataclass
class _Door:
    """Where callers are led, as the links and markers say."""

    slug: str = ""
    slots: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Each slot's revision and replica."""
    takes: set[int] = field(default_factory=set)

    def told(self, servers: Mapping[str, _Server]) -> str:
        """As one text; `revision <number>` alone where all is in order."""
        numbers = {number for number, _ in self.slots.values()}
        if not self.slots:
            return drift.MISSING
        if len(numbers) > 1:
            return f"revisions {' and '.join(str(one) for one in sorted(numbers))} at once"
        (number,) = numbers
        replicas = sum(int(name.split("-")[2]) == number for name in servers)
        led = [self.slots.get(slot) for slot in range(SLOTS)]
        if led != [(number, slot % max(1, replicas)) for slot in range(SLOTS)]:
            return f"revision {number} in part"
        if number not in self.takes:
            return f"revision {number}, but it may not take runs"
        others = sorted(self.takes - {number})
        return f"revision {number}" + "".join(f", but revision {one} may take runs" for one in others[:1])


@dataclass
class _Valkey:
    written: bool = False
    listens: bool = False
    letter: str = ""
    there: bool = False
    """Whether there is anything of it on the disk."""
    holds: bool = False


@dataclass
class _Place:
    """What a home shows of one deployment."""

    servers: dict[str, _Server] = field(default_factory=lambda: defaultdict(_Server))
    door: _Door = field(default_factory=_Door)
    valkey: _Valkey = field(default_factory=_Valkey)


class Survey:
    """Looks over one home."""

    def __init__(
        self, name: str, home: Path, supervisor: Supervisor, postgres: Catalogue, bundles: Bundles
    ) -> None:
        self._name = name
        self._home = home
        self._supervisor = supervisor
        self._postgres = postgres
        self._bundles = bundles
        self._files = Files(home)

    async def pages(self) -> AsyncGenerator[SurveyPage, None]:
        """Everything of ours, in the order of its digits; the ranges of the pages leave no gap."""
        catalogue, states = await asyncio.gather(self._catalogue(), self._supervisor.glance())
        places = await asyncio.to_thread(self._places, states or {})
        images = {
            one for place in places.values() for server in place.servers.values() for one in server.images
        }
        whole = {image: await asyncio.to_thread(self._bundles.look, image) for image in sorted(images)}
        looked = [*WRITTEN]
        looked += SUPERVISED if states is not None else ()
        looked += CATALOGUED if catalogue is not None else ()
        shorts = sorted({*places, *(catalogue or {})})
        firsts = ["", *shorts[PAGE::PAGE]]
        for at, first in enumerate(firsts):
            found = []
            for short in shorts[at * PAGE : (at + 1) * PAGE]:
                one = (catalogue or {}).get(short) or Seen(short=short)
                if place := places.get(short):
                    one.facts += _facts(short, place, states, whole)
                    one.resources += _resources(short, place, states or {})
                found.append(one)
            end = firsts[at + 1] if at + 1 < len(firsts) else None
            yield SurveyPage(plane=self._name, first=first, end=end, looked=looked, seen=found)

    async def _catalogue(self) -> dict[str, Seen] | None:
        try:
            return await self._postgres.surveyed()
        except Exception as error:  # away, restarting, out of connections: all the same here
            log.warning("the survey could not see Postgres", error=type(error).__name__)
            return None

    def _places(self, states: States) -> dict[str, _Place]:
        places: dict[str, _Place] = defaultdict(_Place)
        written = {entry.name.removesuffix(".conf") for entry in _entries(self._home / "etc" / "conf.d")}
        written |= {entry.name.removesuffix(".json") for entry in _entries(self._home / "etc" / "specs")}
        for name in {*written, *states}:
            state = states.get(name)
            if named := SERVER.fullmatch(name):
                server = places[named[1]].servers[name]
                server.written = name in written
                server.letter = seen.letter(state.pid) if state and state.pid else ""
                server.wrong, server.images = self._started(name, state)
            elif named := REDIS.fullmatch(name):
                valkey = places[named[1]].valkey
                valkey.written, valkey.there = name in written, True
                valkey.letter = seen.letter(state.pid) if state and state.pid else ""
        pids = {one.pid for one in states.values()}
        for pid, socket in strays.listening(f"{self._home}/run/rev/"):
            name = f"server-{Path(socket).stem}"
            if pid not in pids and (named := SERVER.fullmatch(name)):
                places[named[1]].servers[name].alive = True
        self._doors(places)
        self._sockets(places)
        self._valkeys(places)
        return places

    def _started(self, name: str, state: State | None) -> tuple[str, list[str]]:
        """What is wrong with what it was written down or started with, and the images that name."""
        wrong, pythons = self._files.described(name), []
        note = _json(self._home / "run" / "ran" / name)
        if state is not None and note.get("pid") == state.pid:
            pythons.append(note.get("python"))
            if not wrong and note.get("asked") and note["asked"] != note.get("spec"):
                wrong = "started from an edited spec"
        argv = _json(self._home / "etc" / "specs" / f"{name}.json").get("argv")
        pythons += argv[:1] if isinstance(argv, list) else []
        return wrong, [image for python in pythons if (image := _image(self._home, python))]

    def _doors(self, places: dict[str, _Place]) -> None:
        for entry in _entries(self._home / "run" / "up"):
            if named := DOOR.fullmatch(entry.name):
                places[named[1]].door.slug = entry.name.removesuffix(".on")
            elif named := SLOT.fullmatch(entry.name):
                to = SOCKET.fullmatch(os.path.basename(_target(entry.path)))
                ours = to is not None and to[1] == named[1]
                places[named[1]].door.slots[int(named[2])] = (
                    (int(to[2]), int(to[3])) if to is not None and ours else (-1, -1)
                )
        for entry in _entries(self._home / "run" / "take"):
            if named := MARKER.fullmatch(entry.name):
                places[named[1]].door.takes.add(int(named[2]))

    def _sockets(self, places: dict[str, _Place]) -> None:
        for entry in _entries(self._home / "run" / "rev"):
            name = f"server-{entry.name.removesuffix('.sock')}"
            # A socket alone is nothing: the dead leave theirs behind.
            if (named := SERVER.fullmatch(name)) and named[1] in places:
                place = places[named[1]]
                if name in place.servers:
                    place.servers[name].listens_since = _since(entry)

    def _valkeys(self, places: dict[str, _Place]) -> None:
        for entry in _entries(self._home / "run" / "redis"):
            short = entry.name.removesuffix(".sock")
            if entry.name != short and SHORT.fullmatch(short):
                places[short].valkey.listens = places[short].valkey.there = True
        for entry in _entries(self._home / "data" / "redis"):
            if SHORT.fullmatch(entry.name):
                valkey = places[entry.name].valkey
                valkey.there, valkey.holds = True, holds_data(Path(entry.path))


def holds_data(directory: Path) -> bool:
    """Whether a Valkey's directory has anything in it that somebody may miss."""
    for entry in [*_entries(directory), *_entries(directory / "appendonlydir")]:
        if entry.is_dir(follow_symlinks=False):
            if entry.name != "appendonlydir":
                return True
        elif entry.name != "valkey.conf" and not entry.name.endswith(".manifest"):
            size = entry.stat(follow_symlinks=False).st_size
            if size > (EMPTY_BASE if ".base." in entry.name else 0):
                return True
    return False


def _facts(short: str, place: _Place, states: States | None, whole: Mapping[str, str]) -> Iterator[Fact]:
    images: dict[str, None] = {}
    now = datetime.now(UTC)
    for name, server in sorted(place.servers.items()):
        if states is not None and (is_ := _process(server, states.get(name), now)) != drift.MISSING:
            yield Fact(field=Field.PROCESS, name=name, seen=is_)
        if server.written or (states and name in states):
            yield Fact(field=Field.ENVIRONMENT, name=name, seen=server.wrong or drift.AS_WISHED)
        if server.images:
            started, *other = server.images
            # Where the two differ, one of them is not the wished one; which, only the wish knows.
            told = f"{started}, written down as {other[0]}" if other and other[0] != started else started
            yield Fact(field=Field.IMAGE, name=name, seen=told)
            images |= dict.fromkeys(server.images)
    for image in images:
        yield Fact(field=Field.BUNDLE, name=image, seen=whole[image])
    if place.door.slug:
        yield Fact(field=Field.ROUTE, name=place.door.slug, seen=drift.OPEN)
        if place.door.slots:
            told = place.door.told(place.servers)
            yield Fact(field=Field.LINK, name=place.door.slug, seen=told)
    redis = f"redis-{short}"
    if states is not None and (state := states.get(redis)) is not None:
        yield Fact(field=Field.REDIS, name=redis, seen=_valkey(place.valkey, state, now))


def _resources(short: str, place: _Place, states: States) -> Iterator[Resource]:
    for name in sorted(place.servers):
        yield Resource(kind=ResourceKind.PROCESS, name=name)
    if place.door != _Door():
        yield Resource(kind=ResourceKind.ROUTE, name=place.door.slug or short)
    if place.valkey.there:
        yield Resource(kind=ResourceKind.REDIS, name=f"redis-{short}", holds_data=place.valkey.holds)


def _process(server: _Server, state: State | None, now: datetime) -> str:
    if state is None:
        return UNSUPERVISED if server.alive else drift.MISSING
    # The supervisor calls it starting for seconds after it answers; its socket is the last thing it makes.
    answers = server.listens_since >= state.started
    return seen.process(state, server.letter, answers=answers, now=now)


def _valkey(valkey: _Valkey, state: State, now: datetime) -> str:
    is_ = seen.process(state, valkey.letter, answers=valkey.listens, now=now)
    return "without its socket" if is_ == drift.RUNNING and not valkey.listens else is_


def _image(home: Path, python: object) -> str:
    """The image that a Python belongs to; empty for any other Python."""
    parts = Path(str(python)).parts
    ours = parts[-3:-1] == (VENV, "bin") and Path(*parts[:-4]) == home / "images"
    return f"sha256:{parts[-4]}" if ours else ""


def _json(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _since(entry: os.DirEntry[str]) -> float:
    try:
        return entry.stat(follow_symlinks=False).st_ctime
    except OSError:
        return 0.0


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
