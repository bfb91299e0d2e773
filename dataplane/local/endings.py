"""That a process ended, at once: the kernel tells whoever holds a file descriptor of it.

Looking into /proc tells the same half a second later, and supervisord itself looks no more often than once a second
unless somebody asks it something; the watch, woken up, asks.
"""

import asyncio
import os
from collections.abc import Collection
from functools import partial

MOST = 256
"""Descriptors held at once; a process beyond them is found by looking."""


class Endings:
    """Of processes that are followed; each ending sets `stirred`."""

    def __init__(self, stirred: asyncio.Event) -> None:
        self._stirred = stirred
        self._held: dict[int, int] = {}

    def follow(self, pids: Collection[int]) -> None:
        """These, and no others any more. Whoever has ended already is told of too."""
        for pid in self._held.keys() - set(pids):
            self._let_go(pid)
        loop = asyncio.get_running_loop()
        for pid in pids:
            if pid in self._held or len(self._held) >= MOST:
                continue
            try:
                held = os.pidfd_open(pid)
            except ProcessLookupError:
                self._stirred.set()
            except OSError:
                # An old kernel, or no descriptors left.
                return
            else:
                self._held[pid] = held
                loop.add_reader(held, partial(self._ended, pid))

    def close(self) -> None:
        """Follow nobody."""
        self.follow(())

    def _ended(self, pid: int) -> None:
        self._let_go(pid)
        self._stirred.set()

    def _let_go(self, pid: int) -> None:
        held = self._held.pop(pid)
        asyncio.get_running_loop().remove_reader(held)
        os.close(held)
