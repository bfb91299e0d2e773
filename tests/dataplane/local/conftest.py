"""A home with a real supervisord, started and ended per test."""

import asyncio
import concurrent.futures
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from dataplane.local.supervisor import Supervisor
from tests.dataplane.local.yard import Yard, opened, supervised

CONFIG = """\
[unix_http_server]
file={home}/run/supervisor.sock
chmod=0700
[supervisord]
logfile={home}/logs/supervisord.log
pidfile={home}/run/supervisord.pid
nodaemon=true
silent=true
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[include]
files={home}/etc/conf.d/*.conf
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """Short on purpose: sockets below it have to fit into 107 bytes."""
    home = Path(tempfile.mkdtemp(prefix="gy"))
    for part in (
        "etc/conf.d",
        "etc/specs",
        "run/rev",
        "run/up",
        "run/take",
        "run/redis",
        "logs",
        "data",
        "secrets",
    ):
        (home / part).mkdir(parents=True)
    (home / "etc" / "supervisord.conf").write_text(CONFIG.format(home=home))
    yield home
    shutil.rmtree(home, ignore_errors=True)


class Daemon:
    """The supervisord of a test's home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        argv = [
            sys.executable,
            "-P",
            "-m",
            "supervisor.supervisord",
            "-n",
            "-c",
            f"{self.home}/etc/supervisord.conf",
        ]
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        supervisor = Supervisor(self.home)
        async with asyncio.timeout(15):
            while not await supervisor.alive():
                await asyncio.sleep(0.02)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.kill()


@pytest.fixture
async def daemon(home: Path) -> AsyncIterator[Daemon]:
    daemon = Daemon(home)
    await daemon.start()
    yield daemon
    await asyncio.to_thread(daemon.stop)


@pytest.fixture
def supervisor(home: Path, daemon: Daemon) -> Supervisor:
    return Supervisor(home)


@pytest.fixture(scope="session")
def yard(postgres_admin_dsn: str) -> Iterator[Yard]:
    """One local plane for the session, with the example's image built."""
    home = Path(tempfile.mkdtemp(prefix="gyp"))
    for _ in supervised(home, CONFIG):
        yard = Yard(home, postgres_admin_dsn)
        with concurrent.futures.ThreadPoolExecutor(1) as aside:
            aside.submit(opened, yard).result(timeout=100)
        yield yard


@pytest.fixture
async def deployment(yard: Yard) -> AsyncIterator[UUID]:
    """The id of a deployment that is gone after the test."""
    id_ = uuid4()
    yield id_
    await yard.clear(id_)
