"""The parts of a stack as values: what each one runs, with what environment, and how it is asked to end.

Pure: from the stack's ports, secrets and paths to programs. Whoever supervises them reads these.
"""

import hashlib
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict, Unpack

from dataplane.local.programs import Program
from deploy.embedded.home import CHECKOUT, Home
from deploy.embedded.ports import LOOPBACK, Stack
from deploy.embedded.secrets import Secrets
from workflows.names import SEARCH_ATTRIBUTES

# What of the caller's environment the parts may see. Not all of it: a shell holds keys that are nobody's
# business here, and what the worker has, the builds and servers it starts could see.
PASSED = (
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "VALKEY_BIN", "NETRC",
    "CC", "CXX", "CFLAGS", "LDFLAGS",
    "http_proxy", "https_proxy", "all_proxy", "no_proxy",
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
)  # fmt: skip
PASSED_PREFIXES = (
    "LC_", "PIP_", "UV_", "SSL_", "XDG_", "GIT_", "REQUESTS_", "CURL_", "CARGO_", "RUSTUP_", "GRAPHYARD_",
)  # fmt: skip
PRIORITIES = {"postgres": 10, "temporal": 20, "api": 50, "worker": 60, "caddy": 70, "keeper": 90}


class Chosen(TypedDict, total=False):
    """What differs between the parts."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    death_signal: int
    stop_signal: str
    stop_seconds: int


def passed(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment every part starts from."""
    return {
        name: value
        for name, value in environ.items()
        if name in PASSED
        or (name.startswith(PASSED_PREFIXES) and name not in ("GRAPHYARD_PORT", "GRAPHYARD_BIND"))
    }


def settings(home: Home, stack: Stack, secrets: Secrets) -> dict[str, str]:
    """What api, worker and migrations read as their `Settings`."""
    return {
        "GRAPHYARD_HOME": str(home.root),
        "GRAPHYARD_PUBLIC_URL": stack.url,
        "GRAPHYARD_DATABASE_URL": secrets.records_url(stack.ports["postgres"]),
        "GRAPHYARD_TEMPORAL_ADDRESS": stack.temporal,
        "GRAPHYARD_SEALING_KEYS": str(home.sealing_keys),
        "GRAPHYARD_API_SOCKET": str(home.api_socket),
        "GRAPHYARD_PLANE_TOKEN": secrets.plane_token,
        "GRAPHYARD_PLANE_POSTGRES_ADMIN": secrets.admin_dsn(stack.ports["postgres"]),
    }


def postgres(home: Home, stack: Stack, binaries: Path, disguise: list[str]) -> Program:
    """INT is Postgres's fast shutdown; on TERM it would wait for every client to leave."""
    return _program(
        home,
        "postgres",
        (str(binaries / "postgres"), "-D", str(home.postgres), "-p", str(stack.ports["postgres"])),
        {"LC_ALL": "C"},
        before=tuple(disguise),
        death_signal=signal.SIGINT,
        stop_signal="INT",
        stop_seconds=60,
    )


def temporal(home: Home, stack: Stack, bin_: Path) -> Program:
    """The dev server on one SQLite file; the pragmas, the single partition and the poll rates make it several
    times as fast as it comes."""
    argv = [str(bin_ / "temporal"), "server", "start-dev", "--ip", LOOPBACK]
    argv += ["--port", str(stack.ports["temporal"]), "--ui-port", str(stack.ports["temporal_ui"])]
    argv += ["--http-port", str(stack.ports["temporal_http"])]
    argv += ["--metrics-port", str(stack.ports["temporal_metrics"])]
    argv += ["--db-filename", str(home.root / "data" / "temporal.db")]
    argv += ["--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=1"]
    for kind in ("Read", "Write"):
        argv += ["--dynamic-config-value", f"matching.numTaskqueue{kind}Partitions=1"]
    # By default a shard hands out tasks 20 times a second: every step of a workflow waits up to 50 ms twice.
    for queue in ("transfer", "timer", "visibility"):
        argv += ["--dynamic-config-value", f"history.{queue}ProcessorMaxPollRPS=1000"]
    for attribute in SEARCH_ATTRIBUTES:
        argv += ["--search-attribute", f"{attribute.name}=Keyword"]
    argv += ["--ui-disable-news-fetch", "--log-format", "json", "--log-level", "warn"]
    # What its client side keeps in a home directory has no place in a server.
    data = home.root / "data"
    env = {"HOME": str(data), "TEMPORAL_CONFIG_FILE": str(data / "temporal.toml")}
    return _program(home, "temporal", tuple(argv), env)


def caddy(home: Home, bin_: Path, config: str) -> Program:
    """The one public door; its configuration never changes while it runs: a changed one is a new program."""
    argv = (str(bin_ / "caddy"), "run", "--config", str(home.root / "etc" / "caddy.json"))
    data = str(home.root / "data" / "caddy")
    env = {"HOME": data, "XDG_DATA_HOME": data, "XDG_CONFIG_HOME": data}
    digest = hashlib.sha256(config.encode()).hexdigest()
    return _program(home, "caddy", argv, {**env, "GRAPHYARD_CADDY_CONFIG": digest})


def api(home: Home, stack: Stack, env: Mapping[str, str]) -> Program:
    """What callers talk to. It serves without Temporal, so it does not wait for it."""
    after = (f"{LOOPBACK}:{stack.ports['postgres']}",)
    return _program(home, "api", _ours("api"), env, after=after, stop_seconds=20)


def worker(home: Home, stack: Stack, env: Mapping[str, str]) -> Program:
    """Control side and local plane in one process."""
    after = tuple(f"{LOOPBACK}:{stack.ports[name]}" for name in ("postgres", "temporal"))
    return _program(home, "worker", _ours("worker"), env, after=after, stop_seconds=40)


def keeper(home: Home) -> Program:
    """Starts supervisord again when it dies; the one program that is to outlive it."""
    argv = [sys.executable, "-I", "-S", str(CHECKOUT / "deploy" / "embedded" / "keeper.py")]
    argv += [str(home.keeper_lock), str(home.supervisor_socket), *daemon(home)]
    return _program(home, "keeper", tuple(argv), {"PATH": "/usr/bin:/bin"}, death_signal=0)


def daemon(home: Home) -> tuple[str, ...]:
    """The command that is this stack's supervisord."""
    config = str(home.root / "etc" / "supervisord.conf")
    return (sys.executable, "-P", "-m", "supervisor.supervisord", "-n", "-c", config)


def _ours(verb: str) -> tuple[str, ...]:
    return (sys.executable, "-P", "-m", "deploy.cli", verb)


def _program(
    home: Home, name: str, argv: tuple[str, ...], env: Mapping[str, str], **chosen: Unpack[Chosen]
) -> Program:
    return Program(name, argv, home.root, home.log(name), env, priority=PRIORITIES[name], **chosen)
