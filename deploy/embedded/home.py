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
ODD = frozenset('%{}[]*?#;"\\$`\n\r\t')
"""Each means something to one of the parts: to supervisord, Caddy, SQLite, a glob or a shell."""
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
    def initialised(self) -> Path:
        """There once initdb was through."""
        return self.postgres / "graphyard.initialised"

    @property
    def api_socket(self) -> Path:
        return self.root / "run" / "api.sock"

    @property
    def supervisor_socket(self) -> Path:
        return self.root / "run" / "supervisor.sock"

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
                f"The home {self.root} is {len(str(self.root))} characters long and sockets below it need it"
                f" to be at most {LONGEST}: set GRAPHYARD_HOME to a shorter path."
            )
        if odd := sorted(ODD & set(str(self.root))):
            raise Trouble(
                f"The home {self.root} has {odd[0]!r} in its path, which some of the parts cannot live with:"
                " set GRAPHYARD_HOME to a plainer path."
            )
        place = next(path for path in (self.root, *self.root.parents) if path.exists())
        if self.root.exists():
            self.check_owner()
            self._check_ours()
        if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
            raise self._unwritable(f"{place} does not let you")
        free = shutil.disk_usage(place).free
        if free < SCARCE:
            raise Trouble(
                f"The disk below {place} has {free // 2**20} MB left and a stack needs {SCARCE // 2**20} MB"
                " to start: free some space, or set GRAPHYARD_HOME to a directory on another disk."
            )

    def check_owner(self) -> None:
        """Refuse somebody else's stack: what we write there, its owner could no longer read."""
        if not self.root.exists():
            return
        owner, me = self.root.stat().st_uid, os.geteuid()
        if owner != me:
            raise Trouble(
                f"The home {self.root} belongs to {_name(owner)} and you are {_name(me)}: run this as"
                f" {_name(owner)}, or set GRAPHYARD_HOME to a directory of yours."
            )

    def _check_ours(self) -> None:
        if self.root.is_dir() and not self.exists and not self.started and any(self.root.iterdir()):
            raise Trouble(
                f"The directory {self.root} holds other things than a stack: set GRAPHYARD_HOME to an empty"
                " or new directory."
            )

    @property
    def started(self) -> bool:
        """Whether a first `up` got as far as making directories here."""
        return (self.root / "secrets").is_dir() and (self.root / "run").is_dir()

    def make(self) -> None:
        """Make the directories; nobody else may look into those that hold secrets, sockets or data."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for part in (*OPEN, *CLOSED):
                (self.root / part).mkdir(mode=0o700 if part in CLOSED else 0o755, parents=True, exist_ok=True)
        except OSError as error:
            # A read-only disk, say, which lets root believe that it may write.
            raise self._unwritable(os.strerror(error.errno or 0)) from error

    def _unwritable(self, why: str) -> Trouble:
        return Trouble(
            f"The home {self.root} cannot be written ({why}): set GRAPHYARD_HOME to a directory of yours."
        )

    def check_purgeable(self) -> None:
        """Refuse to remove what is not a stack's home but, say, somebody's documents."""
        self.check_owner()
        if self.root.exists() and not (self.exists or self.started):
            raise Trouble(
                f"The directory {self.root} does not look like a stack's home and is left alone: set"
                " GRAPHYARD_HOME to the home you mean."
            )

    def purge(self) -> None:
        """Remove all of it; images are sealed read-only, so their directories are opened first."""
        for directory, _, _ in os.walk(self.root):
            os.chmod(directory, 0o700)
        shutil.rmtree(self.root)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
