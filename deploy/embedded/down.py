"""`graphyard down`: everything ends, those that use others first; what is on disk stays."""

import asyncio
import contextlib
import os
import signal
import time

import psutil

from dataplane.local.supervisor import Supervisor
from deploy.embedded.daemon import Daemon
from deploy.embedded.home import Home
from deploy.embedded.orphans import clear
from deploy.embedded.troubles import Trouble

ORDER = (("keeper",), ("caddy",), ("worker",), ("api",), (), ("temporal", "postgres"))
"""Wave by wave; the empty one is everything that belongs to deployments."""


async def down(home: Home, supervisor: Supervisor, daemon: Daemon) -> int:
    """End whatever of this stack lives; how many processes that were."""
    count = 0
    if not await supervisor.alive():
        # A keeper that is about to start another supervisord would undo all this, or has begun one already.
        if keeper := daemon.keeper():
            with contextlib.suppress(ProcessLookupError):
                os.kill(keeper, signal.SIGTERM)
            count += 1
        await daemon.successor()
    if await supervisor.alive():
        count += await end(supervisor, daemon)
    return count + await clear(home)


async def end(supervisor: Supervisor, daemon: Daemon) -> int:
    """End every program in order, then their daemon."""
    running = [name for name, seen in (await supervisor.all_states()).items() if seen.pid]
    named = {name for wave in ORDER for name in wave}
    for wave in ORDER:
        await supervisor.stop([name for name in running if name in wave or (not wave and name not in named)])
    pid = daemon.pid()
    await supervisor.shutdown()
    deadline = time.monotonic() + 15
    while await supervisor.alive() or _lives(pid):
        if time.monotonic() > deadline:
            raise Trouble("The supervisor does not end: run `graphyard down` again.")
        await asyncio.sleep(0.02)
    return len(running)


def _lives(pid: int | None) -> bool:
    """Whether it still runs; where pid 1 reaps nobody, the dead stay in the process list."""
    try:
        return pid is not None and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
