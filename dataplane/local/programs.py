"""Supervised programs as values, and the two files each becomes.

One bad file in conf.d stops every reload and supervisord itself from starting. So a conf file has one fixed
shape in which nothing comes from a user; what does lies in the spec, which only the launcher reads.
"""

import hashlib
import json
import os
import re
import shlex
import signal
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

LAUNCHER = Path(__file__).with_name("launcher.py").resolve()
NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
DIGEST = re.compile(rb'^environment=GRAPHYARD_SPEC="([0-9a-f]+)"$', re.M)
PRIVATE = 0o600


@dataclass(frozen=True)
class Sealed:
    """A sealed map of environment variables and the owner it is bound to."""

    owner: str
    value: str


@dataclass(frozen=True)
class Program:
    """One process that supervisor keeps alive, and all that can be chosen about it."""

    name: str
    argv: tuple[str, ...]
    cwd: Path
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    """The whole environment; nothing is inherited. Never a secret of a user: those are in `sealed`."""
    sealed: tuple[Sealed, ...] = ()
    """Opened by the launcher, over `env`, later ones over earlier ones."""
    keys: Path | None = None
    """The keyring file that opens them."""
    after: tuple[str, ...] = ()
    """What must take connections before this starts: `host:port`, or the path of a Unix socket."""
    memory_mb: int | None = None
    note: Path | None = None
    """Where the launcher leaves word of what it started; needs `keys` and something sealed."""
    shape: str = ""
    """Of the note: it is compared only with what was made the same way, so that a newer Graphyard takes nothing
    of an older one's for tampered with."""
    before: tuple[str, ...] = ()
    """What goes before the launcher; changing ids later would clear its parent-death signal."""
    death_signal: int = signal.SIGTERM
    """What the program gets when supervisord itself dies."""
    stop_signal: str = "TERM"
    stop_seconds: int = 15
    """How long it may take to end after the stop signal, before it is killed."""
    start_seconds: int = 1
    start_retries: int = 100
    restart: str = "true"
    """`true`, `false` or `unexpected`."""
    priority: int = 500
    log_megabytes: int = 10
    log_backups: int = 3

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} cannot name a program")

    def spec(self) -> str:
        """What the launcher reads."""
        # What is not asked for is not said: a new line would make every program a changed one.
        noted = {"note": str(self.note), "shape": self.shape} if self.note else {}
        return json.dumps(
            {
                **noted,
                "argv": list(self.argv),
                "env": dict(self.env),
                "cwd": str(self.cwd),
                "sealed": [{"owner": one.owner, "value": one.value} for one in self.sealed],
                "keys": str(self.keys) if self.keys else None,
                "after": list(self.after),
                "memory_mb": self.memory_mb,
                "death_signal": int(self.death_signal),
            },
            indent=1,
            sort_keys=True,
        )

    def conf(self, spec_path: Path) -> str:
        """What supervisor reads. The spec's digest makes a changed spec a changed program, so a writer that
        dies between the two files and the reload is found out by the next."""
        command = [*self.before, sys.executable, "-I", str(LAUNCHER), str(spec_path)]
        digest = digest_of(self.spec().encode())
        return "\n".join(
            [
                f"[program:{self.name}]",
                f"command={_escaped(shlex.join(command))}",
                f'environment=GRAPHYARD_SPEC="{digest}"',
                "autostart=true",
                f"autorestart={self.restart}",
                f"startsecs={self.start_seconds}",
                f"startretries={self.start_retries}",
                f"stopsignal={self.stop_signal}",
                f"stopwaitsecs={self.stop_seconds}",
                "redirect_stderr=true",
                f"stdout_logfile={_escaped(str(self.log))}",
                f"stdout_logfile_maxbytes={self.log_megabytes}MB",
                f"stdout_logfile_backups={self.log_backups}",
                f"priority={self.priority}",
                "",
            ]
        )


class Files:
    """Where the files of programs lie: `etc/conf.d/<name>.conf` and `etc/specs/<name>.json` below a home."""

    def __init__(self, home: Path) -> None:
        self._confs = home / "etc" / "conf.d"
        self._specs = home / "etc" / "specs"

    def write(self, program: Program) -> bool:
        """Write both files, spec first; false when they said so already."""
        program.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        spec = self._spec(program.name)
        fresh = write_private(spec, program.spec())
        return write_private(self._conf(program.name), program.conf(spec)) or fresh

    def hold(self, program: Program) -> bool:
        """Whether both files say exactly this."""
        spec = self._spec(program.name)
        try:
            return (spec.read_text(), self._conf(program.name).read_text()) == (
                program.spec(),
                program.conf(spec),
            )
        except (OSError, ValueError):
            return False

    def described(self, name: str) -> str:
        """What is wrong with the two files of a program as files; empty if nothing is."""
        wrong = []
        texts = {}
        for what, path in (("spec", self._spec(name)), ("conf", self._conf(name))):
            try:
                mode = stat.S_IMODE(path.stat().st_mode)
                texts[what] = path.read_bytes()
            except OSError:
                wrong.append(f"its {what} is missing")
                continue
            if mode != PRIVATE:
                wrong.append(f"its {what} has mode {mode:04o}")
        if len(texts) == 2 and DIGEST.findall(texts["conf"]) != [digest_of(texts["spec"]).encode()]:
            wrong.append("its spec is not the one that was written")
        return ", ".join(wrong)

    def remove(self, name: str) -> None:
        """Conf first: a conf without its spec would be a crash loop."""
        self._conf(name).unlink(missing_ok=True)
        self._spec(name).unlink(missing_ok=True)

    def names(self, prefix: str = "") -> list[str]:
        """Programs written down, by name."""
        return sorted(path.stem for path in self._confs.glob(f"{prefix}*.conf"))

    def read(self, name: str) -> str | None:
        """The spec as written, if it is."""
        try:
            return self._spec(name).read_text()
        except FileNotFoundError:
            return None

    def _conf(self, name: str) -> Path:
        return self._confs / f"{name}.conf"

    def _spec(self, name: str) -> Path:
        return self._specs / f"{name}.json"


def write_private(path: Path, text: str) -> bool:
    """Put `text` into a file only its owner reads, whole or not at all; false when it was there already."""
    if path.is_file() and path.read_bytes() == text.encode():
        path.chmod(PRIVATE)
        return False
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE), "w") as file:
        file.write(text)
        file.flush()
        # A power cut must not leave an empty conf: supervisord would not start with it.
        os.fsync(file.fileno())
    fresh.replace(path)
    return True


def digest_of(spec: bytes) -> str:
    """By which a conf names the spec that belongs to it."""
    return hashlib.sha256(spec).hexdigest()[:32]


def _escaped(text: str) -> str:
    return text.replace("%", "%%")
