"""Blocking work beside the event loop that really stops when nobody waits for it any more."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

from dataplane.images.inflate import Halt

Result = TypeVar("Result")


async def in_thread(work: Callable[[Halt], Result]) -> Result:
    """Do `work` in a thread. When cancelled, tell it to stop and wait until it has: what it writes is then
    safe to remove."""
    stop = threading.Event()
    doing = asyncio.get_running_loop().run_in_executor(None, work, stop.is_set)
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        stop.set()
        with contextlib.suppress(BaseException):
            await asyncio.shield(doing)
        raise
