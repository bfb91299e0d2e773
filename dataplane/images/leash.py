"""Runs one program that may not outlive us: `leash.py <our pid> <program> <arguments>`.

A worker that is killed with -9 cannot end what it started, so the kernel is asked to tell this process, which
then takes its whole group along: the program, and the build scripts that the program runs. It is a process
of its own because what has to be said between fork and exec may deadlock in a program with threads.
"""

import contextlib
import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def tie(number: int) -> None:
    """Have the kernel send `number` when the parent dies."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)


def end_all(group: int) -> None:
    """The program and whatever it left running."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def main(parent: int, argv: list[str]) -> None:
    """Start, wait, and end as the program ended."""
    # Held back until there is a group to end.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    tie(signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit("the parent died first")
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        tie(signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        os.execv(argv[0], argv)  # noqa: S606
    with contextlib.suppress(PermissionError):
        os.setpgid(child, child)
    signal.signal(signal.SIGTERM, lambda *_: end_all(child))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    _, status = os.waitpid(child, 0)
    end_all(child)
    if os.WIFSIGNALED(status):
        os.kill(os.getpid(), signal.SIGKILL)
    sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
