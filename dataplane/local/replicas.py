"""What each replica of a wish is to be on this machine: its program, its socket, its log, its note."""

import hashlib
import json
from collections.abc import Collection
from pathlib import Path

from dataplane.flavours import flavour
from dataplane.images.bundle import Bundle
from dataplane.local.environment import Environment
from dataplane.local.programs import Files, Program, Sealed
from dataplane.local.replica import Replica
from dataplane.local.slots import Slots
from workflows import names
from workflows.shapes import Wish

ENTRY = Path(__file__).with_name("entry").resolve() / "graphyard_entry.py"
AFTER_DRAIN = 20
"""What ending takes beyond the drain: runs are put back, pools closed; then it is killed."""


class Replicas:
    """The replicas of one home, as they should be."""

    def __init__(
        self, home: Path, files: Files, environment: Environment, *, keys: Path, drain_seconds: float
    ) -> None:
        self.home = home
        self.files = files
        self.slots = Slots(home)
        self.keys = keys
        self._environment = environment
        self._drain_seconds = drain_seconds

    def names(self, wish: Wish, among: Collection[str] = ()) -> dict[str, int]:
        """The wish's replicas with their indexes; only these `among` them, if any are named."""
        all_ = {names.server(wish.deployment_id, wish.number, one): one for one in range(wish.replicas)}
        return {name: index for name, index in all_.items() if not among or name in among}

    def programs(self, wish: Wish, bundle: Bundle, among: Collection[str] = ()) -> dict[str, Program]:
        """By name."""
        return {name: self.program(wish, bundle, index) for name, index in self.names(wish, among).items()}

    def program(self, wish: Wish, bundle: Bundle, index: int) -> Program:
        name, short = names.server(wish.deployment_id, wish.number, index), names.short(wish.deployment_id)
        told = {
            "GRAPHYARD_SOCKET": str(self.slots.socket(short, wish.number, index)),
            "GRAPHYARD_REVISION": str(wish.number),
            "GRAPHYARD_TAKE": str(self.slots.marker(short, wish.number)),
            "GRAPHYARD_DRAIN_SECONDS": str(self._drain_seconds),
            "GRAPHYARD_MEMORY_MB": str(wish.memory_mb or 0),
        }
        layers = self._environment.layers(wish, bundle, told, self._written(name))
        return Program(
            name=name,
            argv=(str(bundle.python), str(ENTRY)),
            cwd=bundle.workdir,
            log=self.log(wish, index),
            env=layers.plain,
            sealed=layers.sealed,
            keys=self.keys,
            after=self._environment.needs(wish),
            memory_mb=wish.memory_mb,
            note=self.note(name),
            shape=self._shape(wish),
            stop_seconds=int(self._drain_seconds) + AFTER_DRAIN,
            # A death before this is answered with growing pauses: one loop must not take the machine's time.
            start_seconds=10,
            # A server without its database dies and comes back until there is one, however long that takes.
            start_retries=1_000_000,
            priority=600,
        )

    def replica(self, wish: Wish, index: int) -> Replica:
        socket = self.slots.socket(names.short(wish.deployment_id), wish.number, index)
        return Replica(names.server(wish.deployment_id, wish.number, index), socket, wish.number)

    def log(self, wish: Wish, index: int) -> Path:
        directory = self.home / "logs" / "deploy" / names.short(wish.deployment_id)
        return directory / f"{wish.number}-{index}.log"

    def note(self, name: str) -> Path:
        """Where the launcher tells what it started under that name."""
        return self.slots.note(name)

    def secrets(self, wish: Wish) -> frozenset[str]:
        """What must not be seen in anything a replica said."""
        return self._environment.secrets(wish)

    def _written(self, name: str) -> Sealed | None:
        """The last sealed part of a program as it is on disk, if what is there makes sense."""
        try:
            parts = json.loads(self.files.read(name) or "{}").get("sealed")
            return Sealed(str(parts[-1]["owner"]), str(parts[-1]["value"])) if parts else None
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return None

    def _shape(self, wish: Wish) -> str:
        """All that is the same for every deployment: a newer Graphyard, or other settings, may change it."""
        chosen = flavour(wish.flavour)
        said = [
            dict(chosen.environment), dict(chosen.defaults), str(ENTRY), self._drain_seconds,
            self._environment.origin,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]
