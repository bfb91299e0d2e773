"""Which log files a name stands for: a part of the stack, or a deployment by its name or slug."""

import contextlib
import re
from pathlib import Path
from uuid import UUID

import httpx

from deploy.embedded.deployments import deployments
from deploy.embedded.home import Home
from deploy.embedded.troubles import Trouble
from workflows import names


async def files(home: Home, name: str) -> list[Path]:
    """The files to read, newest revision only; a name nobody has is told with those there are."""
    if home.log(name).is_file() and "/" not in name:
        return [home.log(name)]
    known = markers(home)
    short = known.get(name)
    if short is None:
        with contextlib.suppress(httpx.HTTPError, OSError):
            known |= {one["name"]: names.short(UUID(one["id"])) for one in await deployments(home)}
        short = known.get(name)
    if short is None:
        parts = sorted(path.stem for path in (home.root / "logs").glob("*.log"))
        raise Trouble(f"Nothing here is called {name}: ask for one of {', '.join([*parts, *sorted(known)])}.")
    found = newest(home.root / "logs" / "deploy" / short) or newest(home.root / "logs" / "build" / short)
    if not found:
        raise Trouble(
            f"{name} has no logs yet: wait for its build to begin, or look at `graphyard logs worker`."
        )
    return found


def markers(home: Home) -> dict[str, str]:
    """Deployments that have served, by name and slug, as the gateway's directory knows them: needs no api."""
    known = {}
    for path in (home.root / "run" / "up").glob("*.on"):
        if match := re.fullmatch(r"(.+)-([0-9a-f]{8})", path.stem):
            known[match[1]] = known[path.stem] = match[2]
    return known


def newest(directory: Path) -> list[Path]:
    """The logs of the highest revision number in a directory."""
    numbered = [
        (int(match[1]), path) for path in directory.glob("*.log") if (match := re.match(r"(\d+)", path.name))
    ]
    highest = max((number for number, _ in numbered), default=None)
    return sorted(path for number, path in numbered if number == highest)
