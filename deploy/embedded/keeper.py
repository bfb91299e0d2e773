"""The keeper: starts supervisord again when something kills it.

supervisord watches every part but itself. So it runs this as one more program, and this watches it back:
kill either one and the other brings it up again. Only both at the same moment need another `graphyard up`.
It imports nothing of ours and next to nothing at all, because it is always in memory.
"""

import fcntl
import os
import select
import signal
import sys
from pathlib import Path

# A killed supervisord's children end by themselves (their launcher asked the kernel for a signal); the new one
# would find their ports taken, so it waits for them, but not for ever.
SETTLE_SECONDS = 10.0


def main(lock: str, config: str, supervisord: str) -> int:
    """Hold the lock, wait for the parent to die, start another one, and make room for its own keeper."""
    holding = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(holding, fcntl.LOCK_EX)
    parent = os.getppid()
    if parent == 1:
        return start(config, supervisord)
    try:
        watched = os.pidfd_open(parent)
    except ProcessLookupError:
        return start(config, supervisord)
    if os.getppid() != parent:
        return start(config, supervisord)
    select.select([watched], [], [])
    return start(config, supervisord)


def start(config: str, supervisord: str) -> int:
    """A new supervisord, in a session of its own and with nothing of ours open."""
    if os.fork() == 0:
        os.setsid()
        os.execv(sys.executable, [sys.executable, supervisord, "-c", config])  # noqa: S606
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    sys.exit(main(*sys.argv[1:4]))
