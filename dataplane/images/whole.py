"""Whether an image is still what was built: looked at cheaply and often, read to the last byte at leisure.

A build leaves a list of its files. What a project writes beside its code while it runs is no damage, and
neither is a data file that changed: only code is held to its digest, everything else to being there.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from dataplane.images.bundle import COMPLETE, RECORD, SOURCE, VENV, Record, home_of
from workflows.drift import MISSING, WHOLE

LISTING = "files.json"
CODE = (".py", ".so", ".pyd", ".pth")
CONFIG = "langgraph.json"
MOST_NAMED = 3


class Entry(NamedTuple):
    """One file as it was built: its digest if it is code of the project, its size and age if it is a package's."""

    digest: str
    size: int
    mtime: int


def write(place: Path) -> None:
    """List the files of a bundle that has just been built."""
    listed = {path: _entry(place, path) for path in _files(place)}
    with (place / LISTING).open("w") as file:
        json.dump(listed, file, separators=(",", ":"))
        file.flush()
        os.fsync(file.fileno())


class Bundles:
    """The images of one home, each by its digest."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._read: dict[str, tuple[int, str]] = {}
        self._turn = ""

    def look(self, digest: str) -> str:
        """`WHOLE`, `MISSING`, or what is wrong, at the price of some hundred looks at directories; and what was
        found when it was last read."""
        place = home_of(self._home, digest)
        if not place.is_dir():
            return MISSING
        if wrong := _parts(place) or ", ".join(_first(_differing(place, deep=False))):
            return wrong
        return self.known(digest)

    def read(self, digest: str) -> str:
        """The same, but every file of code is read; what is found counts until the image is made again."""
        place = home_of(self._home, digest)
        if (seen := self.look(digest)) != WHOLE:
            return seen
        age = _age(place)
        found = ", ".join(_first(_differing(place, deep=True))) or WHOLE
        self._read[digest] = age, found
        return found

    def all(self) -> list[str]:
        """Every complete image there is."""
        images = self._home / "images"
        places = images.glob(f"*/{COMPLETE}") if images.is_dir() else ()
        return sorted(f"sha256:{path.parent.name}" for path in places if len(path.parent.name) == 64)

    def read_next(self) -> None:
        """Read one image, another one every time."""
        images = self.all()
        if images:
            self._turn = next((one for one in images if one > self._turn), images[0])
            self.read(self._turn)

    def known(self, digest: str) -> str:
        """What was found when it was last read, if it has not been made again since; else `WHOLE`."""
        age, found = self._read.get(digest, (0, WHOLE))
        return found if found == WHOLE or age == _age(home_of(self._home, digest)) else WHOLE

    def condemn(self, digest: str) -> None:
        """From now on it is not complete, and whoever needs it makes it anew; so with what it shares with others,
        where that is not as it was either."""
        place = home_of(self._home, digest)
        if place.is_dir():
            place.chmod(0o755)
            for base in _damaged_bases(self._home, place):
                (base / COMPLETE).unlink(missing_ok=True)
        (place / COMPLETE).unlink(missing_ok=True)
        self._read.pop(digest, None)


def _parts(place: Path) -> str:
    """What is missing of what every bundle has."""
    lost = [part for part in (COMPLETE, RECORD, SOURCE, VENV) if not (place / part).exists()]
    if lost:
        return f"without {' and '.join(lost)}"
    python = place / VENV / "bin" / "python"
    if not python.exists():
        return "without its Python"
    if not stat.S_IMODE(python.stat().st_mode) & stat.S_IXUSR:
        return "its Python cannot be executed"
    try:
        record = Record.model_validate_json((place / RECORD).read_bytes())
    except (OSError, ValidationError):
        return f"{RECORD} cannot be read"
    if f"sha256:{place.name}" != record.digest:
        return f"{RECORD} is another image's"
    for part in (SOURCE, VENV, f"{VENV}/bin"):
        mode = stat.S_IMODE((place / part).stat().st_mode)
        if mode & 0o500 != 0o500:
            return f"{part} cannot be read (mode {mode:04o})"
    for graph in record.graphs.values():
        if graph.in_file and not (place / SOURCE / graph.target).is_file():
            return f"without {SOURCE}/{graph.target}"
    if not any((place / VENV).glob("lib/python3.*/site-packages/*")):
        return "without its packages"
    return ""


def _differing(place: Path, *, deep: bool) -> Iterator[str]:
    """What is not as it was listed; nothing where no list was made, as by older releases."""
    try:
        listed = {path: Entry(*one) for path, one in json.loads((place / LISTING).read_bytes()).items()}
    except FileNotFoundError:
        return
    except (OSError, ValueError, TypeError, AttributeError):
        yield f"{LISTING} cannot be read"
        return
    packages: dict[str, set[str]] = {}
    for path, entry in listed.items():
        if path.startswith(f"{VENV}/") and not deep:
            top = _top(path)
            packages.setdefault(os.path.dirname(top), set()).add(os.path.basename(top))
            continue
        yield from _told(place, path, entry, deep=deep)
    for directory, names in packages.items():
        try:
            there = {*os.listdir(place / directory)}
        except OSError:
            there = set()
        for name in sorted(names - there):
            yield f"without {directory}/{name}"


def _told(place: Path, path: str, entry: Entry, *, deep: bool) -> Iterator[str]:
    try:
        told = (place / path).lstat()
        if stat.S_ISREG(told.st_mode) and not told.st_mode & stat.S_IRUSR:
            yield f"{path} cannot be read (mode {stat.S_IMODE(told.st_mode):04o})"
        elif entry.digest:
            untouched = (told.st_size, told.st_mtime_ns) == (entry.size, entry.mtime)
            if (deep or not untouched) and _digest(place / path) != entry.digest:
                yield f"{path} was changed"
        elif path.startswith(f"{VENV}/") and path.endswith(CODE) and _touched(told, entry):
            yield f"{path} was changed"
    except OSError:
        yield f"without {path}"


def _touched(told: os.stat_result, entry: Entry) -> bool:
    return (told.st_size, told.st_mtime_ns) != (entry.size, entry.mtime)


def _damaged_bases(home: Path, place: Path) -> Iterator[Path]:
    """The shared packages of a bundle, if a file that is not as it was is a hard link to one of theirs."""
    try:
        base = home / "images" / "bases" / Record.model_validate_json((place / RECORD).read_bytes()).base
        listed = json.loads((place / LISTING).read_bytes())
    except (OSError, ValueError):
        return
    if not (base / COMPLETE).exists():
        return
    for path, entry in listed.items():
        if not path.startswith(f"{VENV}/") or not path.endswith(CODE):
            continue
        file, shared = place / path, base / path.removeprefix(f"{VENV}/")
        linked = shared.exists() and file.exists() and file.samefile(shared)
        if linked and _touched(file.lstat(), Entry(*entry)):
            yield base
            return


def _files(place: Path) -> Iterator[str]:
    for part in (SOURCE, VENV):
        for root, directories, names in os.walk(place / part):
            directories[:] = [one for one in directories if one != "__pycache__"]
            for name in names:
                yield os.path.relpath(os.path.join(root, name), place)


def _entry(place: Path, path: str) -> Entry:
    told = (place / path).lstat()
    code = stat.S_ISREG(told.st_mode) and path.startswith(f"{SOURCE}/") and path.endswith((*CODE, CONFIG))
    return Entry(_digest(place / path) if code else "", told.st_size, told.st_mtime_ns)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _top(path: str) -> str:
    """The part of a package's path that is looked at: its directory among the installed packages."""
    head, found, rest = path.partition("/site-packages/")
    return f"{head}{found}{rest.partition('/')[0]}" if found else path


def _first(wrong: Iterator[str]) -> list[str]:
    """A few of many; the rest is a number, and is not counted beyond what anybody wants to know."""
    named: list[str] = []
    more = 0
    for one in wrong:
        if len(named) < MOST_NAMED:
            named.append(one)
        else:
            more += 1
    return [*named, f"and {more} more"] if more else named


def _age(place: Path) -> int:
    try:
        return (place / RECORD).stat().st_mtime_ns
    except OSError:
        return 0
