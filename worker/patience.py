"""Reaching what is not up yet: a worker that starts before Temporal or the records waits for them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 3.0

Result = TypeVar("Result")
log = structlog.get_logger()


async def until_reached(what: str, reach: Callable[[], Awaitable[Result]]) -> Result:
    """Try until it works, with growing pauses; the first failure and every twentieth are told."""
    pause, failures = FIRST_PAUSE, 0
    while True:
        try:
            result = await reach()
        except Exception as error:
            failures += 1
            if failures == 1 or failures % 20 == 0:
                log.warning("not reached yet", what=what, error=type(error).__name__, failures=failures)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
        else:
            log.info("reached", what=what, failures=failures)
            return result
