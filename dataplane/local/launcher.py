"""Becomes one supervised program: reads its spec, opens what is sealed in it, and execs.

Supervisor runs this file by its path for every program, so the values of users' variables are on disk only
sealed, and supervisor's own files keep one fixed shape. It also ties a program's life to supervisord's:
killed with -9, supervisord would else leave children behind that hold the ports its successor needs. And it
leaves a note of what it really started, by keyed fingerprints, so that a spec edited since is told from one
that was edited and started.
Standard library only, unless something is sealed: every start of every program pays for these imports.
"""

import contextlib
import ctypes
import hashlib
import json
import os
import resource
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
HEADROOM_MB = 1024
"""Address space that threads reserve and never touch; see `limit`."""
PATIENCE = 120.0
MACHINE = frozenset(
    {
        "PATH", "HOME", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
        "http_proxy", "https_proxy", "all_proxy", "no_proxy",
        "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SUPERVISOR_SERVER_URL",
    }
)  # fmt: skip
"""Variables that come from wherever the worker was started, and so differ without anything being wrong."""


def main(path: str) -> None:
    """Everything up to the exec, which does not come back."""
    raw = Path(path).read_bytes()
    spec: dict[str, Any] = json.loads(raw)
    tie_to_parent(spec.get("death_signal", signal.SIGTERM))
    env = {**spec["env"], **opened(spec.get("sealed", []), spec.get("keys"))}
    # By this address a stack recognises processes of its own that lost their supervisord.
    env |= {name: value for name, value in os.environ.items() if name == "SUPERVISOR_SERVER_URL"}
    if spec.get("note"):
        note(spec, env, hashlib.sha256(raw).hexdigest()[:32])
    for address in spec.get("after", []):
        await_listener(address)
    if spec.get("memory_mb"):
        limit(spec["memory_mb"])
    os.chdir(spec["cwd"])
    os.execve(spec["argv"][0], spec["argv"], env)  # noqa: S606


def tie_to_parent(number: int) -> None:
    """Have the kernel send `number` when the parent dies; end now if it is dead already."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if "SUPERVISOR_ENABLED" in os.environ and not supervised():
        sys.exit("the supervisor died while this program was starting")


def supervised() -> bool:
    """Whether the parent still is a supervisor: an orphan's new parent may be pid 1, or any subreaper."""
    try:
        return b"supervisor" in Path(f"/proc/{os.getppid()}/cmdline").read_bytes()
    except OSError:
        return False


def opened(sealed: list[dict[str, str]], keys: str | None) -> dict[str, str]:
    """The sealed maps, later ones over earlier ones."""
    if not sealed:
        return {}
    assert keys is not None
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from sealing import Keyring

    ring = Keyring.load(Path(keys))
    values: dict[str, str] = {}
    for one in sealed:
        values |= ring.open_map(one["value"], one["owner"])
    return values


def aspects(spec: dict[str, Any], env: dict[str, str]) -> dict[str, str]:
    """What a program is started with, as texts to compare, by what a person would call them."""
    variables = sorted((name, value) for name, value in env.items() if name not in MACHINE)
    return {
        "command": json.dumps(spec["argv"][1:]),
        "directory": spec["cwd"],
        "memory limit": json.dumps(spec.get("memory_mb")),
        "variables": json.dumps(variables),
    }


def note(spec: dict[str, Any], env: dict[str, str], digest: str) -> None:
    """Leave word of what is being started; nobody's start fails for that."""
    from sealing import Keyring

    ring = Keyring.load(Path(spec["keys"]))
    said = {
        "pid": os.getpid(),
        "python": spec["argv"][0],
        "shape": spec.get("shape"),
        "spec": digest,
        "asked": os.environ.get("GRAPHYARD_SPEC"),
        "marks": {name: ring.fingerprint(text) for name, text in aspects(spec, env).items()},
    }
    place = Path(spec["note"])
    fresh = place.with_name(f".{place.name}.{os.getpid()}.new")
    with contextlib.suppress(OSError):
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(said, file)
        fresh.replace(place)


def await_listener(address: str) -> None:
    """Wait until `host:port` or a socket's path takes connections: after a reboot everything starts at once,
    and a server that dies for want of its database only waits longer, in supervisor's growing pauses."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if address.startswith("/"):
                with socket.socket(socket.AF_UNIX) as probe:
                    probe.settimeout(5)
                    probe.connect(address)
            else:
                host, _, port = address.rpartition(":")
                socket.create_connection((host, int(port)), timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return


def limit(memory_mb: int) -> None:
    """A backstop against one huge allocation, not the limit itself.

    RLIMIT_AS would count every mapped library and RLIMIT_DATA counts the eight megabytes each thread's stack
    reserves, so both cut off healthy servers long before their memory is used. What a server really uses it
    watches itself (`graphyard_entry`); this makes a single allocation beyond all bounds fail before it swaps.
    """
    most = (memory_mb + HEADROOM_MB) << 20
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


if __name__ == "__main__":
    main(sys.argv[1])
