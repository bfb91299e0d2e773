"""Where the gateway leads, as links in a directory: a switch is a rename, and Caddy is never told anything.

Caddy dials `run/up/<short>.0` to `.3` in turn, so all four always lead somewhere: with fewer replicas than
slots some lead to the same one. `run/up/<slug>.on` tells it that the deployment is known. `run/take/…` tells
a revision's replicas that they may take runs. Whoever changes any of it holds the deployment's lock.
"""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path

SLOTS = 4
SOCKET = re.compile(r"([0-9a-f]{8})-(\d+)-(\d+)\.sock")


class Slots:
    """The links and markers of one home."""

    def __init__(self, home: Path) -> None:
        self._up = home / "run" / "up"
        self._rev = home / "run" / "rev"
        self._take = home / "run" / "take"
        self._ran = home / "run" / "ran"
        self._locks = home / "run" / "locks"

    def make(self) -> None:
        for directory in (self._up, self._rev, self._take):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def socket(self, short: str, number: int, index: int) -> Path:
        """Where one replica listens."""
        return self._rev / f"{short}-{number}-{index}.sock"

    def marker(self, short: str, number: int) -> Path:
        """While it exists, that revision's replicas take runs."""
        return self._take / f"{short}-{number}"

    def note(self, name: str) -> Path:
        """Where the launcher tells what it started under that name."""
        return self._ran / name

    def serving(self, short: str) -> int | None:
        """The number of the revision that the gateway leads to."""
        try:
            found = SOCKET.fullmatch(Path(os.readlink(self._slot(short, 0))).name)
        except OSError:
            return None
        return int(found[2]) if found else None

    def lead(self, short: str, slug: str, number: int, replicas: int, *, unless_newer: bool = False) -> None:
        """Lead to these replicas, and let only this revision take runs; `unless_newer`: but leave it alone
        where a newer one can be reached.

        The new marker comes first and the old ones go last: at no moment may nobody take runs. What leads
        there already is left as it is, so that a link's age tells since when.
        """
        with self.alone(short):
            if unless_newer and self._newer(short, number):
                return
            self._mark(self.marker(short, number))
            for slot in range(SLOTS):
                target = Path("..") / "rev" / self.socket(short, number, slot % replicas).name
                if _target(self._slot(short, slot)) == str(target):
                    continue
                fresh = self._up / f".{short}.{slot}.new"
                fresh.unlink(missing_ok=True)
                fresh.symlink_to(target)
                fresh.replace(self._slot(short, slot))
            self._mark(self._up / f"{slug}.on")
            for marker in self._take.glob(f"{short}-*"):
                if marker != self.marker(short, number):
                    marker.unlink(missing_ok=True)

    @contextlib.contextmanager
    def alone(self, short: str) -> Iterator[None]:
        """Among tasks and processes; held for moments only."""
        self._locks.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._locks / f"{short}.lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def since(self, short: str) -> float | None:
        """When the gateway was led where it leads."""
        try:
            return self._slot(short, 0).lstat().st_mtime
        except OSError:
            return None

    def door(self, slug: str) -> bool:
        """Whether the gateway knows the deployment."""
        return (self._up / f"{slug}.on").exists()

    def targets(self, short: str) -> list[str]:
        """Where each slot leads; empty for one that is no link."""
        return [_target(self._slot(short, slot)) for slot in range(SLOTS)]

    def takers(self, short: str) -> set[int]:
        """The revisions that may take runs."""
        numbers = [marker.name.partition("-")[2] for marker in self._take.glob(f"{short}-*")]
        return {int(number) for number in numbers if number.isdecimal()}

    def numbers(self, short: str) -> set[int]:
        """The revisions that something is left of here, be it of replicas that somebody ended half way."""
        found = [SOCKET.fullmatch(socket.name) for socket in self._rev.glob(f"{short}-*.sock")]
        return self.takers(short) | {int(one[2]) for one in found if one}

    def close(self, short: str) -> None:
        """Lead nowhere: callers get 404."""
        for marker in self._up.glob(f"*-{short}.on"):
            marker.unlink(missing_ok=True)
        for link in self._up.glob(f"{short}.*"):
            link.unlink(missing_ok=True)

    def forget(self, short: str, number: int) -> None:
        """Take away what is left of a revision's replicas."""
        self.marker(short, number).unlink(missing_ok=True)
        for left in (
            *self._rev.glob(f"{short}-{number}-*.sock"),
            *self._ran.glob(f"server-{short}-{number}-*"),
        ):
            left.unlink(missing_ok=True)

    def routed(self, short: str) -> bool:
        """Whether anything of a route is left."""
        return any(self._up.glob(f"*-{short}.on")) or any(self._up.glob(f"{short}.*"))

    def _newer(self, short: str, number: int) -> bool:
        found = [SOCKET.fullmatch(Path(target).name) for target in self.targets(short)]
        return any(
            one and one[1] == short and int(one[2]) > number and (self._rev / one[0]).exists()
            for one in found
        )

    def _mark(self, marker: Path) -> None:
        if not marker.is_file():
            marker.touch(mode=0o600)

    def _slot(self, short: str, slot: int) -> Path:
        return self._up / f"{short}.{slot}"


def _target(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""
