"""Things that run beside others: for as long as a body, or until something else comes first."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

Result = TypeVar("Result")


@asynccontextmanager
async def beside(story: Coroutine[Any, Any, None], name: str) -> AsyncIterator[None]:
    """Run something as long as the body runs."""
    task = asyncio.create_task(story, name=name)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def unless(stop: asyncio.Event, story: Coroutine[Any, Any, Result]) -> Result | None:
    """The result, or None if `stop` came first."""
    working, stopping = asyncio.create_task(story), asyncio.create_task(stop.wait())
    await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
    for task in (working, stopping):
        if not task.done():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
    return None if working.cancelled() else working.result()
