"""Which ports a stack uses: one public, chosen by its owner; the rest found free once and then kept.

Kept in `stack.json`, so that bookmarks (the Temporal UI) and the deployments' connection strings stay right
over restarts, and several stacks can live side by side.
"""

import json
import random
import socket
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from dataplane.local.programs import write_private
from deploy.embedded.troubles import Trouble

DEFAULT_PORT = 4747
INTERNAL = ("postgres", "temporal", "temporal_ui", "temporal_http", "temporal_metrics")
# Below the kernel's ephemeral range (32768 and up): an outgoing connection can never sit on one of ours.
RANGE = range(20000, 32000)
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Stack:
    """What `stack.json` holds: everything about this stack that was chosen once."""

    port: int = DEFAULT_PORT
    bind: str = LOOPBACK
    public_url: str = ""
    tenant_id: str = ""
    ports: dict[str, int] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where everything is reached: what the owner said it is, else the port on this machine."""
        if self.public_url:
            return self.public_url.rstrip("/")
        host = LOOPBACK if self.bind in ("", "0.0.0.0", "::") else self.bind  # noqa: S104
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def listen(self) -> str:
        """The public port as the gateway spells it."""
        return f"[{self.bind}]:{self.port}" if ":" in self.bind else f"{self.bind}:{self.port}"

    @property
    def local_url(self) -> str:
        """The public port as this machine reaches it, whatever stands in front of it."""
        return replace(self, public_url="").url

    @property
    def temporal(self) -> str:
        return f"{LOOPBACK}:{self.ports['temporal']}"

    @property
    def temporal_ui(self) -> str:
        return f"http://{LOOPBACK}:{self.ports['temporal_ui']}"

    @classmethod
    def load(cls, path: Path) -> "Stack":
        try:
            held: dict[str, Any] = dict(json.loads(path.read_text()).items())
            return cls(**{key: held[key] for key in cls.__dataclass_fields__ if key in held})
        except FileNotFoundError:
            return cls()
        except (ValueError, TypeError, AttributeError) as error:
            raise Trouble(
                f"{path} cannot be read as JSON: put it right, or remove it to have ports chosen anew."
            ) from error

    def save(self, path: Path) -> None:
        write_private(path, json.dumps(asdict(self), indent=2) + "\n")

    def told(self, environ: Mapping[str, str]) -> "Stack":
        """This stack with what the environment says now; what it does not say stays as it was."""
        said = environ.get("GRAPHYARD_PORT", "")
        if said and not (said.isascii() and said.isdigit() and 0 < int(said) < 65536):
            raise Trouble(
                f"GRAPHYARD_PORT is {said!r} and has to be a number from 1 to 65535: set it to a free port."
            )
        return replace(
            self,
            port=int(said) if said else self.port,
            bind=environ.get("GRAPHYARD_BIND") or self.bind,
            public_url=environ.get("GRAPHYARD_PUBLIC_URL") or self.public_url,
        )


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen there now; connections in TIME_WAIT are no obstacle."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            # Another socket may be bound with SO_REUSEADDR as well; only one of them can listen.
            probe.listen(1)
        except OSError:
            return False
    return True


def check_public(stack: Stack) -> None:
    """Refuse a public port that somebody else has, or that may not be had."""
    if is_free(stack.port, stack.bind):
        return
    if stack.port < 1024 and is_free(DEFAULT_PORT, stack.bind):
        raise Trouble(
            f"Port {stack.port} of {stack.bind} cannot be listened on (taken, or ports below 1024 are not"
            " yours): choose another with GRAPHYARD_PORT=<port>."
        )
    raise Trouble(
        f"Port {stack.port} of {stack.bind} is taken by another program: stop it, or choose another port with"
        " GRAPHYARD_PORT=<port>."
    )


def settle(
    kept: Mapping[str, int], ours: Callable[[str], bool], free: Callable[[int], bool] = is_free
) -> dict[str, int]:
    """A port for each internal part: the kept one unless somebody else sits on it, else a new free one."""
    settled: dict[str, int] = {}
    for name in INTERNAL:
        port = kept.get(name)
        if port is None or not (ours(name) or free(port)):
            taken = {*settled.values(), *kept.values()}
            port = next(
                choice for choice in random.sample(RANGE, 500) if choice not in taken and free(choice)
            )
        settled[name] = port
    return settled
