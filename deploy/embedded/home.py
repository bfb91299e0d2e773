"""The one directory that is a stack: where everything lies, and whether this directory may be one.

Sockets lie below it, and the kernel cuts socket paths at 107 bytes; hence the limit on its length.
"""

import os
import pwd
import shutil
from dataclasses import dataclass
from pathlib import Path

from deploy.embedded.troubles import Trouble

LONGEST = 80
SCARCE = 500 * 1024 * 1024
CHECKOUT = Path(__file__).resolve().parents[2]
OPEN = ("etc", "etc/conf.d", "logs", "logs/deploy", "logs/build", "images", "images/locks")
CLOSED = ("secrets", "etc/specs", "run", "run/rev", "run/up", "run/take", "run/redis", "data", "uploads")


@dataclass(frozen=True)
class Home:
    """Paths of one stack, named once."""

    root: Path

    @classmethod
    def of(cls, environ: os._Environ[str] | dict[str, str]) -> "Home":
        """`GRAPHYARD_HOME`, else `.graphyard` beside the Makefile, from whatever directory it is asked."""
        chosen = environ.get("GRAPHYARD_HOME")
        return cls(Path(chosen).expanduser().resolve() if chosen else CHECKOUT / ".graphyard")

    @property
    def stack(self) -> Path:
        return self.root / "stack.json"

    @property
    def api_key(self) -> Path:
        return self.root / "secrets" / "api-key"

    @property
    def sealing_keys(self) -> Path:
        return self.root / "secrets" / "sealing.keys"

    @property
    def postgres(self) -> Path:
        return self.root / "data" / "postgres"

    @property
    def api_socket(self) -> Path:
        return self.root / "run" / "api.sock"

    @property
    def up_lock(self) -> Path:
        return self.root / "run" / "up.lock"

    @property
    def keeper_lock(self) -> Path:
        return self.root / "run" / "keeper.lock"

    def log(self, name: str) -> Path:
        return self.root / "logs" / f"{name}.log"

    @property
    def exists(self) -> bool:
        return self.stack.is_file()

    def check(self) -> None:
        """Refuse a place where a stack could not live, before anything is written there."""
        if len(str(self.root)) > LONGEST:
            raise Trouble(
                f"The home {self.root} is {len(str(self.root))} characters long and sockets below it need it to be"
                f" at most {LONGEST}: set GRAPHYARD_HOME to a shorter path."
            )
        place = next(path for path in (self.root, *self.root.parents) if path.exists())
        if self.root.exists():
            self._check_owner()
            self._check_ours()
        if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
            raise Trouble(
                f"The home {self.root} cannot be written ({place} does not let you): set GRAPHYARD_HOME to a"
                " directory of yours."
            )
        free = shutil.disk_usage(place).free
        if free < SCARCE:
            raise Trouble(
                f"The disk below {place} has {free // 2**20} MB left and a stack needs {SCARCE // 2**20} MB to start:"
                " free some space, or set GRAPHYARD_HOME to a directory on another disk."
            )

    def _check_owner(self) -> None:
        owner, me = self.root.stat().st_uid, os.geteuid()
        if owner != me:
            raise Trouble(
                f"The home {self.root} belongs to {_name(owner)} and you are {_name(me)}: run this as"
                f" {_name(owner)}, or set GRAPHYARD_HOME to a directory of yours."
            )

    def _check_ours(self) -> None:
        if self.root.is_dir() and not self.exists and not self.started and any(self.root.iterdir()):
            raise Trouble(
                f"The directory {self.root} holds other things than a stack: set GRAPHYARD_HOME to an empty or new"
                " directory."
            )

    @property
    def started(self) -> bool:
        """Whether a first `up` got as far as making directories here."""
        return (self.root / "secrets").is_dir() and (self.root / "run").is_dir()

    def make(self) -> None:
        """Make the directories; nobody else may look into those that hold secrets, sockets or data."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for part in (*OPEN, *CLOSED):
            (self.root / part).mkdir(mode=0o700 if part in CLOSED else 0o755, parents=True, exist_ok=True)

    def purge(self) -> None:
        """Remove all of it, if it is a stack's home and not, say, somebody's documents."""
        if not self.root.exists():
            return
        self._check_owner()
        if not (self.exists or self.started):
            raise Trouble(f"The directory {self.root} does not look like a stack's home and is left alone.")
        shutil.rmtree(self.root)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def write_private(path: Path, text: str) -> bool:
    """Put `text` into a file only its owner reads, whole or not at all; false when it was there already."""
    if path.is_file() and path.read_text() == text:
        return False
    fresh = path.with_name(f".{path.name}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)
    return True
