"""Runs one program that may not outlive us: `leash.py <our pid> <program> <arguments>`.

A worker that is killed with -9 cannot end what it started, so the kernel is asked to. This has to be said
between fork and exec; doing so in the forked copy of a program with threads may deadlock, a small Python of
its own may not.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the parent died first")
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606
