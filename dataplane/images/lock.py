"""What a project's declarations resolve to: asked once, then kept, so that an image never floats.

The text has pins with hashes. What cannot be hashed is named above them: local projects by their directory,
sources from git by their commit.
"""

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dataplane.images import failures
from dataplane.images.dependencies import Declarations
from dataplane.images.interpreters import Interpreter
from dataplane.images.run import Failed
from dataplane.images.uv import Uv
from workflows.causes import Code, Refused

LOCAL = "#: local "
DIRECT = "#: direct "
HERE = re.compile(r"^(?:-e )?(?:\.{0,2}/|file:|\.$)|^\S+ @ file:")


@dataclass(frozen=True)
class Lock:
    """A resolution as it is kept."""

    text: str

    @property
    def digest(self) -> str:
        return f"sha256:{hashlib.sha256(self.text.encode()).hexdigest()}"

    @property
    def locals(self) -> list[str]:
        """Directories and files below the source, `.` for its root."""
        return self._named(LOCAL)

    @property
    def direct(self) -> list[str]:
        """Requirements that name an exact source which has no hash."""
        return self._named(DIRECT)

    def _named(self, mark: str) -> list[str]:
        return [line.removeprefix(mark) for line in self.text.splitlines() if line.startswith(mark)]


def kept(path: Path) -> Lock | None:
    """The lock of that name, if it was resolved before; it counts as used now."""
    try:
        lock = Lock(path.read_text())
        os.utime(path)
    except FileNotFoundError:
        return None
    return lock


def keep(path: Path, lock: Lock) -> None:
    """Write it so that nobody ever reads half of it."""
    part = path.with_suffix(".part")
    with part.open("w") as file:
        file.write(lock.text)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)


async def resolve(
    uv: Uv,
    declarations: Declarations,
    interpreter: Interpreter,
    source: Path,
    scratch: Path,
    said: Callable[[str], None],
) -> Lock:
    """Ask the registry. `source` is the unpacked archive, `scratch` a directory to write in."""
    asked, answer = scratch / "requirements.in", scratch / "requirements.txt"
    plain = [line for line in declarations.lines if not line.startswith("-r ")]
    asked.write_text("".join(f"{line}\n" for line in plain))
    included = [line.removeprefix("-r ") for line in declarations.lines if line.startswith("-r ")]

    def told(line: str) -> None:
        if "--hash=" not in line and not line.endswith(" \\") and not HERE.match(line):
            said(line)

    try:
        await uv(
            *("pip", "compile", "--generate-hashes", "--no-header", "--no-annotate", "--no-progress"),
            *("--python", str(interpreter.path), "--output-file", str(answer)),
            *("--", str(asked), *included),
            cwd=source,
            said=told,
        )
    except Failed as failed:
        lines = [line.replace(str(asked), "the dependencies") for line in failed.lines]
        raise failures.of_resolving([line.replace(f"{source}/", "") for line in lines]) from None
    return read(answer.read_text(), source)


def read(answer: str, source: Path) -> Lock:
    """The resolver's answer, told apart by what has hashes and what cannot have any."""
    named: list[str] = []
    hashed: list[str] = []
    for entry in re.split(r"\n(?!\s)", answer.strip()):
        if not entry or entry.startswith("#"):
            continue
        first = entry.split(" \\\n")[0].strip()
        if HERE.match(first):
            named.append(LOCAL + _below(first, source))
        elif "--hash=" not in entry:
            named.append(DIRECT + first)
        else:
            hashed.append(entry)
    return Lock("\n".join([*dict.fromkeys(named), *hashed]) + "\n")


def _below(entry: str, source: Path) -> str:
    """A local entry as a path relative to the source; nothing outside of it can be part of an image."""
    path = entry.removeprefix("-e ").rpartition(" @ ")[2].removeprefix("file://").partition("[")[0]
    place = Path(os.path.normpath(source / path))
    if not place.is_relative_to(source):
        raise Refused(
            Code.DEPENDENCY_MISSING,
            f"A dependency leads to '{path}', outside of the archive.",
            "Put it into the project and name its directory in 'dependencies'.",
        )
    return str(place.relative_to(source))
