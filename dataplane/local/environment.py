"""What a server's process finds in its environment, in layers: the machine's, the flavour's and the image's
defaults, the project's, the revision's, and last what a deployment is not free to choose.

Values of users and passwords stay sealed until the launcher opens them; only the names of the layers are
decided here.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dataplane.flavours import flavour
from dataplane.images.bundle import Bundle
from dataplane.local.launcher import MACHINE
from dataplane.local.programs import Sealed
from dataplane.local.redis import Redis
from dataplane.postgres.databases import Postgres
from sealing import Keyring
from workflows import names
from workflows.shapes import Wish

CUSTOM_POSTGRES, CUSTOM_REDIS = "POSTGRES_URI_CUSTOM", "REDIS_URI_CUSTOM"
PASSED = tuple(sorted(MACHINE - {"PATH", "HOME", "SUPERVISOR_SERVER_URL"}))
"""Of the worker's own environment a server gets these; an agent behind a proxy needs to know of it."""


@dataclass(frozen=True)
class Layers:
    """A revision's environment: the open part, and the sealed parts over it in this order. The last of them
    is ours, so that nothing a user sets can replace it."""

    plain: dict[str, str]
    sealed: tuple[Sealed, ...]


class Environment:
    """Puts together what the servers of a wish get."""

    def __init__(self, keys: Path, postgres: Postgres, redis: Redis, *, origin: str) -> None:
        self._keys = keys
        self._postgres = postgres
        self._redis = redis
        self.origin = origin

    def layers(
        self, wish: Wish, bundle: Bundle, replica: Mapping[str, str], written: Sealed | None
    ) -> Layers:
        """`replica` is what only this one gets. `written` is the last sealed part as it is on disk; if it
        says the same, it is kept: a fresh seal would look like a changed program and restart what runs. For the
        same reason a fresh one is a steady one: written anew, a spec that was lost is what it was."""
        ring, owner = Keyring.load(self._keys), str(wish.deployment_id)
        theirs = self._opened(ring, wish)
        own = {**self._own(wish, theirs), **bundle.environment(), **replica}
        if written is None or not _opens_to(ring, written, own):
            written = Sealed(owner, ring.seal_map(own, owner, steady=True))
        parts = [Sealed(owner, text) for text in (wish.defaults, wish.environment) if text]
        return Layers(
            plain=self._plain(wish, bundle),
            sealed=(*parts, written),
        )

    def secrets(self, wish: Wish) -> frozenset[str]:
        """Every value of a wish that must not be seen in a message."""
        ring = Keyring.load(self._keys)
        return frozenset([*self._opened(ring, wish).values(), *self._passwords(ring, wish)])

    def needs(self, wish: Wish) -> tuple[str, ...]:
        """What must take connections before a server of ours starts."""
        if not flavour(wish.flavour).databases:
            return ()
        ours = [] if wish.custom_postgres else [self._postgres.address]
        return (*ours, *([] if wish.custom_redis else [str(self._redis.socket(wish))]))

    def _plain(self, wish: Wish, bundle: Bundle) -> dict[str, str]:
        chosen = flavour(wish.flavour)
        return {
            **{name: os.environ[name] for name in PASSED if name in os.environ},
            "PATH": f"{bundle.bin}:{os.environ.get('PATH', os.defpath)}",
            "HOME": os.environ.get("HOME", "/"),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "LOG_JSON": "true",
            # Nothing goes to anybody unless the project asks for it.
            "LANGSMITH_TRACING": "false",
            "LANGGRAPH_CLI_NO_ANALYTICS": "1",
            "CORS_ALLOW_ORIGINS": self.origin,
            **chosen.defaults,
        }

    def _own(self, wish: Wish, theirs: Mapping[str, str]) -> dict[str, str]:
        own = {**flavour(wish.flavour).environment, "GRAPHYARD_PROBE_TOKEN": token(self._keys, wish)}
        if flavour(wish.flavour).databases:
            database = theirs[CUSTOM_POSTGRES] if wish.custom_postgres else self._postgres.uri(wish)
            own |= {"DATABASE_URI": database, "POSTGRES_URI": database}
            own |= {"REDIS_URI": theirs[CUSTOM_REDIS] if wish.custom_redis else self._redis.uri(wish)}
        return own

    def _opened(self, ring: Keyring, wish: Wish) -> dict[str, str]:
        owner = str(wish.deployment_id)
        defaults = ring.open_map(wish.defaults, owner) if wish.defaults else {}
        return defaults | ring.open_map(wish.environment, owner)

    def _passwords(self, ring: Keyring, wish: Wish) -> list[str]:
        return list(ring.open_map(wish.credentials, str(wish.deployment_id)).values())


def token(keys: Path, wish: Wish) -> str:
    """What the plane shows a revision's replicas to have its probe answered; nobody else can know it."""
    secret = Keyring.load(keys).open_map(wish.credentials, str(wish.deployment_id))["redis"]
    said = f"probe {names.short(wish.deployment_id)} {wish.revision_id} {secret}"
    return hashlib.sha256(said.encode()).hexdigest()


def _opens_to(ring: Keyring, sealed: Sealed, values: Mapping[str, str]) -> bool:
    try:
        return ring.open_map(sealed.value, sealed.owner) == dict(values)
    except ValueError:
        return False
