"""What deployments leave in a home's directories, as short texts that differ once something was changed.

Looked at twice a second, so nothing is read: a name, a mode, a size and a time tell enough. Only a spec that
changed is opened, for whose it is and which bundle it runs from.
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from dataplane.images.bundle import COMPLETE, RECORD, SOURCE, VENV
from sealing import Keyring, Unsealable
from workflows import names

Signature = dict[str, str]
"""Things of one deployment, each with a text that changes when it does."""

PROGRAM = re.compile(r"(?:server|redis)-([0-9a-f]{8})(?:-\d+-\d+)?\.(?:conf|json)")
SERVER = re.compile(r"server-([0-9a-f]{8})-\d+-\d+\.json")
DOOR = re.compile(r"(?:.+-)?([0-9a-f]{8})\.(?:on|\d)")
MARKER = re.compile(r"([0-9a-f]{8})-\d+")
SOCKET = re.compile(r"([0-9a-f]{8})(?:-\d+-\d+)?\.sock")
DATA = re.compile(r"([0-9a-f]{8})")
SOURCES = (".py",)
COMES = ("socket ", "data ")
"""What servers make themselves once they are up: that it is there now is no news, that it is gone is."""
GONE = "gone"


@dataclass
class _Spec:
    """What was read in a server's spec."""

    told: str
    token: str = field(default="", repr=False)
    """By which it is asked how its work goes."""
    owner: UUID | None = None
    bundle: Path | None = None


@dataclass
class Traces:
    """The directories of one home. Not for several threads at once."""

    home: Path
    owners: dict[str, UUID] = field(default_factory=dict)
    """Whose eight digits these are; kept when the files are gone."""
    tokens: dict[str, str] = field(default_factory=dict, repr=False)
    """By server what it wants to hear before it tells how its work goes. Secrets, kept here only."""
    _specs: dict[str, _Spec] = field(default_factory=dict, repr=False)

    def look(self) -> dict[str, Signature]:
        """Each deployment's things by its eight digits."""
        found: dict[str, Signature] = {}
        bundles: dict[Path, Signature] = {}
        specs: dict[str, _Spec] = {}
        for short, thing, told in self._things():
            found.setdefault(short, {})[thing] = told
            if thing.startswith("etc/specs/server-"):
                specs[thing] = spec = self._spec(thing, told)
                if spec.owner is not None:
                    self.owners[short] = spec.owner
                if spec.bundle is not None:
                    if spec.bundle not in bundles:
                        bundles[spec.bundle] = _bundle(spec.bundle)
                    found[short] |= bundles[spec.bundle]
        self._specs = specs
        self.tokens = {Path(thing).stem: spec.token for thing, spec in specs.items() if spec.token}
        return found

    def when(self, thing: str) -> tuple[float, float] | None:
        """Between which moments that thing became what it is, where the disk knows."""
        if thing.startswith("bundle "):
            return None
        try:
            at = (self.home / thing.removeprefix("socket ").removeprefix("data ")).lstat().st_ctime
        except OSError:
            return None
        return at, at

    def _things(self) -> Iterator[tuple[str, str, str]]:
        for directory in ("etc/conf.d", "etc/specs"):
            for short, entry in self._entries(directory, PROGRAM):
                yield short, f"{directory}/{entry.name}", _told(entry.path)
        for short, entry in self._entries("run/up", DOOR):
            link = entry.is_symlink()
            yield short, f"run/up/{entry.name}", _target(entry.path) if link else _mode(entry.path)
        for short, entry in self._entries("run/take", MARKER):
            yield short, f"run/take/{entry.name}", _mode(entry.path)
        for directory in ("run/rev", "run/redis"):
            for short, entry in self._entries(directory, SOCKET):
                yield short, f"socket {directory}/{entry.name}", _mode(entry.path)
        for short, entry in self._entries("data/redis", DATA):
            yield short, f"data/redis/{entry.name}", _mode(entry.path)
            yield short, f"data/redis/{entry.name}/valkey.conf", _told(f"{entry.path}/valkey.conf")
            log = f"{entry.path}/appendonlydir"
            if os.path.isdir(log):
                yield short, f"data data/redis/{entry.name}/appendonlydir", _mode(log)

    def _entries(self, directory: str, pattern: re.Pattern[str]) -> Iterator[tuple[str, os.DirEntry[str]]]:
        try:
            with os.scandir(self.home / directory) as entries:
                for entry in entries:
                    if named := pattern.fullmatch(entry.name):
                        yield named[1], entry
        except (FileNotFoundError, NotADirectoryError):
            return

    def _spec(self, thing: str, told: str) -> _Spec:
        known = self._specs.get(thing)
        if known is not None and known.told == told:
            return known
        spec = _Spec(told)
        try:
            said = json.loads((self.home / thing).read_bytes())
            python = Path(said["argv"][0])
            if python.parts[-3:-1] == (VENV, "bin"):
                spec.bundle = python.parents[2]
            # A damaged file may say anything: an owner counts only where it has these eight digits.
            owner = UUID(said["sealed"][-1]["owner"])
            named = SERVER.fullmatch(Path(thing).name)
            spec.owner = owner if named and names.short(owner) == named[1] else None
            own = Keyring.load(Path(said["keys"])).open_map(said["sealed"][-1]["value"], str(owner))
            spec.token = str(own.get("GRAPHYARD_PROBE_TOKEN", ""))
        except (OSError, ValueError, LookupError, TypeError, AttributeError, Unsealable):
            pass
        return spec


def news(before: Signature, after: Signature) -> list[str]:
    """The things that changed, in a way that somebody must have done."""
    return sorted(
        thing
        for thing in before.keys() | after.keys()
        if before.get(thing) != after.get(thing) and not (thing not in before and thing.startswith(COMES))
    )


def _bundle(place: Path) -> Signature:
    """The parts of a bundle that nothing starts without. Touched whenever it is used, so its marker's time
    says nothing; and what agents write beside their sources is their own affair."""
    found = {
        f"bundle {part}": _told(place / part)
        for part in (RECORD, f"{VENV}/bin/python", f"{VENV}/pyvenv.cfg", f"{SOURCE}/langgraph.json")
    }
    found |= {f"bundle {part}": _mode(place / part, follow=True) for part in (COMPLETE, "", SOURCE, VENV)}
    for packages in sorted(_below(place / VENV / "lib", "python")):
        found[f"bundle {packages.name}"] = _told(packages / "site-packages")
    for source in _below(place / SOURCE, ""):
        if source.suffix in SOURCES:
            found[f"bundle {SOURCE}/{source.name}"] = _told(source)
    return found


def _below(place: Path, prefix: str) -> list[Path]:
    try:
        return [place / name for name in os.listdir(place) if name.startswith(prefix)]
    except OSError:
        return []


def _told(path: str | Path) -> str:
    try:
        seen = os.stat(path)
    except OSError:
        return GONE
    return f"{seen.st_mode:o} {seen.st_uid} {seen.st_size} {seen.st_mtime_ns}"


def _mode(path: str | Path, *, follow: bool = False) -> str:
    try:
        seen = os.stat(path, follow_symlinks=follow)
    except OSError:
        return GONE
    return f"{seen.st_mode:o} {seen.st_uid}"


def _target(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return GONE
