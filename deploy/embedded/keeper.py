"""The keeper: starts supervisord again when something kills it.

supervisord watches every part but itself. So it runs this as one more program, and this watches it back: kill
either one and the other brings it up again. Only both at the same moment need another `graphyard up`.
It imports nothing of ours and next to nothing at all, because it is always in memory.
"""

import fcntl
import os
import select
import signal
import sys
import time

# The children of a killed supervisord end by themselves (their launcher asked the kernel for a signal), but
# not at once: a new one that finds their ports and locks taken would take longer than waiting for them does.
SETTLE_SECONDS = 8.0


def main(lock: str, socket: str, supervisord: list[str]) -> int:
    """Hold the lock, wait for the parent to die, start another one, and so make room for its own keeper."""
    holding = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(holding, fcntl.LOCK_EX)
    os.ftruncate(holding, 0)
    os.pwrite(holding, str(os.getpid()).encode(), 0)
    parent = os.getppid()
    try:
        watched = os.pidfd_open(parent)
    except ProcessLookupError:
        watched = None
    # A parent that died before the descriptor was there has left us to another one by now.
    if watched is not None and os.getppid() == parent and parent != 1:
        select.select([watched], [], [])
    deadline = time.monotonic() + SETTLE_SECONDS
    while siblings(socket) and time.monotonic() < deadline:
        time.sleep(0.1)
    return start(supervisord)


def siblings(socket: str) -> bool:
    """Whether anything else lives that the dead supervisord had started; each inherited its address."""
    mark = f"SUPERVISOR_SERVER_URL=unix://{socket}\0".encode()
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                with open(f"/proc/{entry}/environ", "rb") as file:
                    if mark in file.read():
                        return True
            except OSError:
                continue
    return False


def start(supervisord: list[str]) -> int:
    """A new supervisord, in a session of its own, without a word of what this one inherited."""
    if os.fork() == 0:
        os.setsid()
        # Ours are pipes to the dead one: the first word into them would end its successor.
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nowhere, number)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SUPERVISOR_")}
        os.execve(supervisord[0], supervisord, inherited)  # noqa: S606
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
