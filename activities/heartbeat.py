"""Keeping a long step alive and cancellable: Temporal hears of a cancellation's need only by heartbeats."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from temporalio import activity

Tell = Callable[[str], None]

LONGEST = 300
BEATS = 20
"""Per heartbeat timeout. The SDK sends fewer: how soon a cancellation is heard is set by its throttle."""


@asynccontextmanager
async def heartbeat() -> AsyncIterator[Tell]:
    """Beat while the body runs, carrying the last sentence it told; sentences may come from any thread."""
    limit = activity.info().heartbeat_timeout
    pause = limit.total_seconds() / BEATS if limit else None
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    last = ""

    def tell(sentence: str) -> None:
        nonlocal last
        last = sentence[:LONGEST]
        loop.call_soon_threadsafe(told.set)

    async def beat() -> None:
        while True:
            activity.heartbeat(*([last] if last else []))
            told.clear()
            # Not `wait_for`: in 3.11 it forgets a cancellation that comes together with a sentence.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await told.wait()

    beating = asyncio.create_task(beat())
    try:
        yield tell
    finally:
        beating.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beating
