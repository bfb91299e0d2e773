"""The Pythons of this machine: found once, each tried, because one that is listed need not work.

Version managers put programs on the PATH that only say they have nothing to run; a distribution may ship a
Python without the parts a virtual environment needs.
"""

import asyncio
import contextlib
import json
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from packaging.specifiers import SpecifierSet

from workflows.causes import Code, Refused

PLACES = ("/usr/bin", "/usr/local/bin")
"""Before the PATH: an interpreter of the system outlives a user's own, and other users may run it."""
NAME = re.compile(r"python3\.(?:1[1-9]|[2-9]\d)")
OLDEST = (3, 11)
"""What the servers need at least."""
NEWEST = (3, 13)
"""The last one that all of the server's packages have wheels for; a newer one has to be asked for."""
PROBE = (
    "import sys, json, ctypes, ssl, sqlite3;"
    "print(json.dumps([list(sys.version_info[:3]), sys.implementation.name, sys.executable]))"
)


@dataclass(frozen=True, order=True)
class Interpreter:
    """One Python that runs."""

    version: tuple[int, int, int]
    path: Path

    @property
    def minor(self) -> str:
        return f"{self.version[0]}.{self.version[1]}"

    def __str__(self) -> str:
        return ".".join(map(str, self.version))


class Interpreters:
    """What this machine has; looked up at the first question."""

    def __init__(self, places: Iterable[str] | None = None) -> None:
        self._places = tuple(places) if places is not None else (*PLACES, *_path(), str(Path(_base()).parent))
        self._found: list[Interpreter] | None = None
        self._looking = asyncio.Lock()

    async def all(self) -> list[Interpreter]:
        """The newest of each minor version that a server can run on, oldest first."""
        async with self._looking:
            if self._found is None:
                self._found = await self._look()
        return self._found

    async def choose(self, declared: str | None, needs: SpecifierSet) -> Interpreter:
        """The declared Python, or else the newest that the project allows; `Refused(PYTHON_UNAVAILABLE)`."""
        found = await self.all()
        have = ", ".join(one.minor for one in found) or "none that is new enough"
        wanted = [one for one in found if declared is None or one.minor == declared]
        if not wanted:
            raise Refused(
                Code.PYTHON_UNAVAILABLE,
                f"This machine has no Python {declared}; it has {have}.",
                "Change python_version in `langgraph.json`, or install that Python on the machine.",
            )
        fitting = [one for one in wanted if needs.contains(str(one), prereleases=True)]
        if not fitting:
            raise Refused(
                Code.PYTHON_UNAVAILABLE,
                f"The project needs Python {needs}, which "
                + (f"the declared {declared} is not." if declared else f"this machine lacks; it has {have}."),
                "Change requires-python or python_version, or install another Python on the machine.",
            )
        return ([one for one in fitting if one.version[:2] <= NEWEST] or fitting)[-1]

    async def _look(self) -> list[Interpreter]:
        candidates = await asyncio.to_thread(_candidates, self._places)
        tried = await asyncio.gather(*(_try(path) for path in candidates))
        newest: dict[str, Interpreter] = {}
        for found in tried:
            if found is not None and found.version[:2] >= OLDEST:
                newest.setdefault(found.minor, found)
        return sorted(newest.values())


def _candidates(places: Iterable[str]) -> list[Path]:
    """Programs that are named like a Python, each once."""
    seen: dict[tuple[Path, str], Path] = {}
    for place in places:
        with contextlib.suppress(OSError):
            for path in sorted(Path(place).iterdir()):
                if NAME.fullmatch(path.name) and os.access(path, os.X_OK):
                    seen.setdefault((path.resolve(), path.name), path)
    return list(seen.values())


async def _try(path: Path) -> Interpreter | None:
    """Start it and ask; None when it does not answer like a whole CPython."""
    try:
        process = await asyncio.create_subprocess_exec(
            path,
            "-I",
            "-c",
            PROBE,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return None
    try:
        out, _ = await asyncio.wait_for(process.communicate(), 20)
        version, implementation, executable = json.loads(out)
    except (TimeoutError, ValueError):
        return None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if implementation != "cpython" or process.returncode != 0:
        return None
    major, minor, patch = version
    return Interpreter((major, minor, patch), Path(executable))


def _path() -> list[str]:
    """The PATH, without the virtual environment that we run in ourselves."""
    own = Path(sys.prefix) / "bin"
    return [part for part in os.environ.get("PATH", "").split(os.pathsep) if part and Path(part) != own]


def _base() -> str:
    """The interpreter our own virtual environment was made from."""
    return str(getattr(sys, "_base_executable", sys.executable))
