"""A whole real stack of its own in a directory that goes away: brought up by `graphyard up`, as a user would.

One per test session, because it takes ten seconds; tests that break it put it right again (`up`) or take a
stack of their own (`fresh_stack`).
"""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from uuid import UUID

import psutil
import pytest

from dataplane.local.supervisor import Supervisor
from deploy.embedded import secrets
from deploy.embedded.home import Home
from deploy.embedded.ports import Stack as Held
from deploy.embedded.ready import Readiness
from workflows import names

CHECKOUT = Path(__file__).parents[1]


class Stack:
    """One running stack, and the hands to break and mend it."""

    def __init__(self, home: Path, settings: Mapping[str, str] | None = None) -> None:
        self.home = home
        self._settings = {"GRAPHYARD_HOME": str(home), "GRAPHYARD_PORT": str(free_port()), **(settings or {})}
        self._supervisor = Supervisor(home)

    @property
    def env(self) -> dict[str, str]:
        """The environment of a shell that has this stack as its own."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GRAPHYARD_")}
        return {**kept, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **self._settings}

    @property
    def held(self) -> Held:
        """What its stack.json says."""
        return Held.load(self.home / "stack.json")

    @property
    def url(self) -> str:
        return self.held.url

    @property
    def tenant_id(self) -> str:
        return self.held.tenant_id

    @property
    def temporal_address(self) -> str:
        return self.held.temporal

    @property
    def api_key(self) -> str:
        return (self.home / "secrets" / "api-key").read_text().strip()

    @property
    def postgres_admin_dsn(self) -> str:
        return secrets.settle(Home(self.home)).admin_dsn(self.held.ports["postgres"])

    @property
    def records_dsn(self) -> str:
        """The records, as the superuser."""
        return self.postgres_admin_dsn.rsplit("/", 1)[0] + "/graphyard"

    def graphyard(self, *words: str, check: bool = True, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run one `graphyard` command; with `check`, a failure is an assertion with all it said."""
        done = subprocess.run(
            [sys.executable, "-P", "-m", "deploy.cli", *words],
            env={**self.env, "PYTHONPATH": str(CHECKOUT), **settings},
            cwd=self.home.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0 or not check, f"graphyard {' '.join(words)}: {done.stdout}{done.stderr}"
        return done

    def up(self) -> str:
        return self.graphyard("up", "--no-example").stdout

    def down(self) -> str:
        return self.graphyard("down").stdout

    async def pid(self, part: str, deployment: str | None = None) -> int:
        """Of api, worker, temporal, postgres, caddy, keeper, supervisord, or a deployment's valkey."""
        if part == "supervisord":
            return int((self.home / "run" / "supervisord.pid").read_text())
        if part == "valkey":
            assert deployment is not None, "which deployment's valkey?"
            part = names.redis(UUID(deployment))
        state = await self._supervisor.state(part)
        return state.pid if state else 0

    async def kill(self, part: str, deployment: str | None = None) -> int:
        """Kill -9 one part; waits until it has a pid to kill, and answers that pid."""
        async with asyncio.timeout(30):
            while not (pid := await self.pid(part, deployment)):
                await asyncio.sleep(0.05)
        os.kill(pid, signal.SIGKILL)
        return pid

    @asynccontextmanager
    async def suspended(self, part: str) -> AsyncIterator[None]:
        """A part that stands still meanwhile, unless it is killed."""
        pid = await self.pid(part)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    @contextmanager
    def another(self, part: str, **changed: str) -> Iterator[subprocess.Popen[bytes]]:
        """One more process of a part, from the stack's own description of it; nobody supervises it."""
        spec = json.loads((self.home / "etc" / "specs" / f"{part}.json").read_text())
        # By this address `down` finds it, should the test be killed.
        address = {"SUPERVISOR_SERVER_URL": f"unix://{self.home}/run/supervisor.sock"}
        with (self.home / "logs" / f"another-{part}.log").open("ab") as log:
            process = subprocess.Popen(
                spec["argv"],
                cwd=spec["cwd"],
                env={**spec["env"], **address, **changed},
                stdout=log,
                stderr=log,
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    async def until_ready(self, part: str, pid: int | None = None) -> None:
        """Wait until a part answers for real; a worker of that pid, if it is not the supervised one."""
        home = Home(self.home)
        check = Readiness(home, self.held, secrets.settle(home)).of(part)
        assert check is not None, f"nobody knows how to ask {part}"
        async with asyncio.timeout(60):
            while not await check(pid or await self.pid(part)):
                await asyncio.sleep(0.1)

    def processes(self) -> list[psutil.Process]:
        """Everything of it that lives, servers and Valkeys too, by the home in its words or environment.
        Postgres's own children name none; they go with it."""
        home, found = str(self.home), []
        for process in psutil.process_iter():
            try:
                if process.status() == psutil.STATUS_ZOMBIE or process.pid == os.getpid():
                    continue
                if any(home in word for word in (*process.cmdline(), *process.environ().values())):
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def power_cut(self) -> int:
        """Kill -9 of everything at once, the keeper too; how many processes that were."""
        victims = self.processes()
        # None of them may see another one's death.
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for process in victims:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(number)
        psutil.wait_procs(victims, timeout=10)
        return len(victims)

    def remove(self) -> None:
        self.graphyard("down", "--purge")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def placed(settings: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """A stack that was never up, removed afterwards; pytest's own directories have too long paths for it."""
    directory = Path(tempfile.mkdtemp(prefix="gy-"))
    stack = Stack(directory / "home", settings)
    try:
        yield stack
    finally:
        stack.remove()
        shutil.rmtree(directory)


@contextmanager
def running(settings: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """A stack that is up meanwhile."""
    with placed(settings) as stack:
        stack.up()
        yield stack


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The session's stack, without any deployment at first."""
    with running() as made:
        yield made


@pytest.fixture
def fresh_stack() -> Iterator[Stack]:
    """A stack for this test alone."""
    with running() as made:
        yield made


@pytest.fixture
def absent() -> Iterator[Stack]:
    """A stack that was never up."""
    with placed() as stack:
        yield stack


@pytest.fixture
def stack_with_registry() -> Iterator[Stack]:
    """A stack that hands out the token of a registry."""
    registry = {"GRAPHYARD_REGISTRY_URL": "127.0.0.1:5000/graphyard", "GRAPHYARD_REGISTRY_TOKEN": "none"}
    with running(registry) as made:
        yield made
