"""Processes of a stack that lost their supervisord: ending, but still holding ports and locks.

Told from all others by the address of their supervisord, which each inherited; a name or a path in a command
line would also match somebody's editor.
"""

import asyncio
import signal
import time

import psutil

from deploy.embedded.home import Home


def orphans(home: Home) -> list[psutil.Process]:
    """Living processes that were started by this home's supervisord, whichever of its lives that was."""
    address = f"unix://{home.supervisor_socket}"
    found = []
    for process in psutil.process_iter(["status"]):
        if process.info["status"] == psutil.STATUS_ZOMBIE:
            continue
        try:
            if process.environ().get("SUPERVISOR_SERVER_URL") == address:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


async def clear(home: Home, patience: float = 15) -> int:
    """Wait for them to end, as they were asked to when their supervisord died; the last ones are killed."""
    left = await asyncio.to_thread(orphans, home)
    count, deadline = len(left), time.monotonic() + patience
    for process in left:
        _send(process, signal.SIGINT if process.name() == "postgres" else signal.SIGTERM)
    while left and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
        left = [
            process for process in left if process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        ]
    for process in left:
        _send(process, signal.SIGKILL)
    await asyncio.to_thread(psutil.wait_procs, left, timeout=5)
    return count


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.Error:
        return
