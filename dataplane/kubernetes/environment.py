"""What a server's container finds in its environment, in layers: ours that may be overridden, the image's defaults,
the project's, the revision's, and last what a deployment is not free to choose.

The only place where a revision's secrets are open; from here they go into one Secret of the cluster and nowhere else.
"""

import json
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import urlsplit

from dataplane.flavours import flavour
from dataplane.kubernetes import names
from dataplane.kubernetes.manifests import address
from dataplane.kubernetes.site import Site
from dataplane.local.environment import CUSTOM_POSTGRES, CUSTOM_REDIS, token
from sealing import Keyring
from workflows.shapes import Wish

DEFAULT_PORTS = {"postgres": 5432, "postgresql": 5432, "redis": 6379, "rediss": 6379}


class Addresses(Protocol):
    """Whoever knows how servers reach a deployment's databases."""

    def postgres_uri(self, wish: Wish) -> str: ...

    def redis_uri(self, wish: Wish) -> str: ...


class Environment:
    """Puts together what the servers of a wish get."""

    def __init__(self, site: Site, addresses: Addresses) -> None:
        self._site = site
        self._addresses = addresses

    def values(self, wish: Wish) -> dict[str, str]:
        """All of it, opened."""
        theirs = self._opened(Keyring.load(self._site.keys), wish)
        own = self._own(wish, theirs)
        # A variable that is taken from a Secret of the user's has no value of ours beside it.
        referred = {one.name for one in wish.secret_references} - own.keys()
        layered = {**self._plain(wish), **theirs, **own}
        return {name: value for name, value in layered.items() if name not in referred}

    def taken(self, wish: Wish) -> frozenset[str]:
        """Names that are ours alone, so that no reference to a Secret may give them another value."""
        return frozenset(self._own(wish, self._opened(Keyring.load(self._site.keys), wish)))

    def secrets(self, wish: Wish) -> frozenset[str]:
        """Every value of a wish that must not be seen in a message."""
        ring = Keyring.load(self._site.keys)
        passwords = ring.open_map(wish.credentials, str(wish.deployment_id)).values()
        return frozenset([*self._opened(ring, wish).values(), *passwords, self.token(wish)])

    def token(self, wish: Wish) -> str:
        """What replicas are shown to answer the plane's questions."""
        return token(self._site.keys, wish)

    def fingerprint(self, values: Mapping[str, str], written: str = "") -> str:
        """Of everything a server is started with. The one that is `written` already is kept while it says the same:
        another key alone must not restart anybody."""
        text, ring = json.dumps(dict(values), sort_keys=True), Keyring.load(self._site.keys)
        return written if ring.is_of(written, text) else ring.fingerprint(text)

    def ports(self, values: Mapping[str, str]) -> frozenset[int]:
        """Where the databases listen."""
        found = set()
        for name in ("POSTGRES_URI", "REDIS_URI"):
            try:
                parts = urlsplit(values.get(name, ""))
                port = parts.port or DEFAULT_PORTS.get(parts.scheme)
            except ValueError:
                continue
            found |= {port} if port else set()
        return frozenset(found)

    def _plain(self, wish: Wish) -> dict[str, str]:
        chosen = flavour(wish.flavour)
        # An image of somebody else's knows best where its home is.
        home = {
            "HOME": "/tmp",  # noqa: S108 - the pod's own, and the only place that it may write to
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return {
            **(home if chosen.entry else {}),
            "LOG_JSON": "true",
            # Nothing goes to anybody unless the project asks for it.
            "LANGSMITH_TRACING": "false",
            "LANGGRAPH_CLI_NO_ANALYTICS": "1",
            "CORS_ALLOW_ORIGINS": address.origin(self._site.door),
            # What the server's own documentation and agent cards tell callers to call.
            "LANGGRAPH_API_URL": address.public(self._site.door, wish),
            **chosen.defaults,
        }

    def _own(self, wish: Wish, theirs: Mapping[str, str]) -> dict[str, str]:
        chosen, prefix = flavour(wish.flavour), address.prefix(self._site.door, wish)
        own = dict(chosen.environment)
        if chosen.databases:
            database = theirs[CUSTOM_POSTGRES] if wish.custom_postgres else self._addresses.postgres_uri(wish)
            redis = theirs[CUSTOM_REDIS] if wish.custom_redis else self._addresses.redis_uri(wish)
            own |= {"DATABASE_URI": database, "POSTGRES_URI": database, "REDIS_URI": redis}
        if not chosen.entry:
            # The stock server's own way to be reached below a path, and the port that everybody expects.
            return {**own, "MOUNT_PREFIX": prefix, "PORT": str(names.PORT)}
        return {
            **own,
            "GRAPHYARD_LISTEN": f"0.0.0.0:{names.PORT}",
            "GRAPHYARD_PREFIX": prefix,
            "GRAPHYARD_SERVICE": f"http://{names.agent(wish)}:{names.PORT}",
            "GRAPHYARD_REVISION": str(wish.number),
            "GRAPHYARD_DRAIN_SECONDS": f"{self._site.drain_seconds:g}",
            "GRAPHYARD_PROBE_TOKEN": self.token(wish),
        }

    def _opened(self, ring: Keyring, wish: Wish) -> dict[str, str]:
        owner = str(wish.deployment_id)
        defaults = ring.open_map(wish.defaults, owner) if wish.defaults else {}
        return defaults | ring.open_map(wish.environment, owner)
