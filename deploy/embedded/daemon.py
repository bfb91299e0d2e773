"""This stack's supervisord and its keeper: written down, started, found again, ended.

Found by its socket and never by a name in the process list: another stack's supervisord looks just the same but for
the path of its configuration.
"""

import asyncio
import fcntl
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from dataplane.local.programs import write_private
from dataplane.local.supervisor import Supervisor
from deploy.embedded.home import Home
from deploy.embedded.orphans import clear
from deploy.embedded.parts import daemon
from deploy.embedded.troubles import Trouble

CONFIG = """\
[unix_http_server]
file={run}/supervisor.sock
chmod=0700

[supervisord]
logfile={logs}/supervisord.log
logfile_maxbytes=10MB
logfile_backups=2
loglevel=info
pidfile={run}/supervisord.pid
nodaemon=true
silent=true
minfds={files}
identifier=graphyard

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[include]
files=conf.d/*.conf
"""


def configuration(home: Home) -> str:
    """The file supervisord reads. `files` is relative to it: a space there would part two patterns."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = 4096 if most == resource.RLIM_INFINITY else min(4096, most)
    return CONFIG.format(run=home.root / "run", logs=home.root / "logs", files=files)


@contextmanager
def alone(home: Home) -> Iterator[None]:
    """One `up`, `down` or purge of a stack at a time; a second one waits for the first."""
    with home.up_lock.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            deadline = time.monotonic() + 180
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise Trouble(
                            f"Another `graphyard up` or `down` of {home.root} has been running for minutes:"
                            " wait for it or end it, then try again."
                        ) from None
                    time.sleep(0.2)
        yield


class Daemon:
    """The supervisord of one stack."""

    def __init__(self, home: Home, supervisor: Supervisor) -> None:
        self._home = home
        self._supervisor = supervisor

    async def alive(self) -> bool:
        return await self._supervisor.alive()

    async def settle(self) -> bool:
        """Whether it runs, once what a kill left behind has come to an end: a keeper that is bringing it up
        again, or programs that lost it and still hold their ports."""
        if await self.alive():
            return True
        await self.successor()
        if await self.alive():
            return True
        await clear(self._home)
        return False

    async def successor(self, seconds: float = 15) -> None:
        """Wait until the one that a keeper begins answers, or none is to come. Until it is supervisord such a one holds
        the keeper's lock, and then it bears the name of this home's configuration."""
        deadline = time.monotonic() + seconds
        while not await self.alive() and time.monotonic() < deadline:
            if not self.keeper() and not await asyncio.to_thread(self._begun):
                return
            await asyncio.sleep(0.05)

    def _begun(self) -> bool:
        mine = str(self._home.root / "etc" / "supervisord.conf")
        return any(
            mine in (process.info["cmdline"] or ())
            for process in psutil.process_iter(["cmdline", "status"])
            if process.info["status"] != psutil.STATUS_ZOMBIE
        )

    async def start(self) -> None:
        """Start it unless it runs."""
        if await self.settle():
            return
        write_private(self._home.root / "etc" / "supervisord.conf", configuration(self._home))
        said = self._home.log("supervisord-start")
        with said.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *daemon(self._home),
                cwd=self._home.root,
                env={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if not await self._until(seconds=15, process=process):
            if process.returncode is None:
                process.kill()
            raise Trouble(f"The supervisor did not start ({last_line(said)}): the whole story is in {said}.")

    async def _until(self, seconds: float, process: asyncio.subprocess.Process | None = None) -> bool:
        """Whether it answers in time; false at once when the process that was to be it has ended."""
        deadline = time.monotonic() + seconds
        while not await self.alive():
            if time.monotonic() > deadline or (process is not None and process.returncode is not None):
                return False
            await asyncio.sleep(0.05)
        return True

    def pid(self) -> int | None:
        """Of the supervisord that wrote down its pid last."""
        try:
            return int((self._home.root / "run" / "supervisord.pid").read_text())
        except (FileNotFoundError, ValueError):
            return None

    def keeper(self) -> int | None:
        """The pid of the keeper, if one lives: it holds its lock from its first moment to its last."""
        try:
            with self._home.keeper_lock.open("r+") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return int(lock.read() or 0) or None
        except FileNotFoundError:
            pass
        return None


def last_line(log: Path) -> str:
    """The last thing a log says, for a sentence."""
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    telling = [line.strip() for line in lines if not line.startswith("For help, use ")]
    return telling[-1][:300] if telling else "it said nothing"
