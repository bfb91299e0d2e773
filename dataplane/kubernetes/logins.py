"""Where registries listen, and who we are towards them: pure, from image names and pull secrets."""

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

HUB = {"docker.io": "registry-1.docker.io"}
"""Where the registry listens that everybody calls by another name."""
HUB_KEYS = ("https://index.docker.io/v1/", "index.docker.io", "registry-1.docker.io")


@dataclass(frozen=True)
class Login:
    """Who asks; nobody in particular by default."""

    username: str = ""
    password: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The header's value; empty for nobody."""
        if not self.username and not self.password:
            return ""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


def address(host: str, *, insecure: bool = False) -> str:
    """The URL of a registry that image names call so; one on this machine's loopback speaks plain HTTP."""
    bare = host.partition(":")[0]
    plain = insecure or bare in ("localhost", "127.0.0.1")
    return f"{'http' if plain else 'https'}://{HUB.get(host, host)}"


def login_of(secrets: Iterable[Mapping[str, Any]], registry: str, repository: str) -> Login:
    """Who to be towards a registry, from pull secrets (`kubernetes.io/dockerconfigjson`) in their order; the entry
    that names most of the repository's path wins, as it does for nodes."""
    best, length = Login(), -1
    wanted = f"{registry}/{repository}"
    for secret in secrets:
        for key, entry in _entries(secret).items():
            place = registry if registry in HUB and key in HUB_KEYS else key
            place = place.split("://")[-1].rstrip("/")
            fits = wanted == place or wanted.startswith(f"{place}/")
            if fits and len(place) > length and isinstance(entry, Mapping):
                best, length = _login(entry), len(place)
    return best


def _entries(secret: Mapping[str, Any]) -> Mapping[str, Any]:
    data = secret.get("data") or {}
    try:
        if raw := data.get(".dockerconfigjson"):
            found = json.loads(base64.b64decode(raw)).get("auths")
        elif raw := data.get(".dockercfg"):
            found = json.loads(base64.b64decode(raw))
        else:
            return {}
    except (ValueError, AttributeError):
        return {}
    return found if isinstance(found, Mapping) else {}


def _login(entry: Mapping[str, Any]) -> Login:
    if entry.get("username"):
        return Login(str(entry["username"]), str(entry.get("password", "")))
    try:
        username, _, password = base64.b64decode(str(entry.get("auth", ""))).decode().partition(":")
    except ValueError:
        return Login()
    return Login(username, password)
