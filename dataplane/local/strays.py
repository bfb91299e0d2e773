"""Replicas that outlived their supervisord: asked to end when it died, still draining, known to nobody.

Each is told from all other processes by the socket that it was given to listen on.
"""

import asyncio
import contextlib
import os

import psutil

TICK = 0.2


def strays(beginning: str) -> list[psutil.Process]:
    """Living processes whose socket's path begins like this."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            told = process.environ().get("GRAPHYARD_SOCKET", "")
            if told.startswith(beginning) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def listening(beginning: str) -> list[tuple[int, str]]:
    """The pid and the socket of every living replica whose socket's path begins like this. Read from /proc by
    hand: over all processes of a machine psutil takes ten times as long."""
    found, wanted = [], b"GRAPHYARD_SOCKET=" + os.fsencode(beginning)
    for pid in (name for name in os.listdir("/proc") if name.isdigit()):
        # What belongs to others, or is gone since, cannot be read.
        with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
            said = file.read()
            if wanted in said:
                lines = [line for line in said.split(b"\0") if line.startswith(wanted)]
                found += [(int(pid), os.fsdecode(line.partition(b"=")[2])) for line in lines[:1]]
    return found


def sockets(beginning: str) -> set[str]:
    """The sockets of living replicas whose paths begin like this, supervised or not."""
    return {socket for _, socket in listening(beginning)}


async def end(beginning: str, *, at_once: bool) -> None:
    """Wait until they are gone, or see to it."""
    while left := await asyncio.to_thread(strays, beginning):
        for process in left:
            with contextlib.suppress(psutil.Error):
                if at_once:
                    process.kill()
                else:
                    process.terminate()
        await asyncio.sleep(TICK)
