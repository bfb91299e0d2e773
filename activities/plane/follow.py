"""Following a plane: whatever changes there and is not our own doing, its deployment's workflow is told."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog

from activities.plane.closing import closing
from dataplane.plane import Tell, Upkeep
from workflows.accounts import Finder, Notice

Notify = Callable[[UUID, Notice], Awaitable[None]]
"""Tells one deployment's workflow, if it runs; raises when it could not be told."""

HOUR = timedelta(hours=1)
SIGN_OF_LIFE = 60.0
"""A plane that says nothing for so long, not even that nothing happened, is followed anew."""
AT_ONCE = 20
PAUSE = 1.0

log = structlog.get_logger()


async def follow(upkeep: Upkeep, notify: Notify, shift: timedelta, tell: Tell) -> None:
    """Follow for one shift. It ends between two words of the plane, so that none is lost."""
    loop = asyncio.get_running_loop()
    end, told = loop.time() + shift.total_seconds(), 0
    async with closing(upkeep.watch()) as changes:
        while loop.time() < end:
            try:
                async with asyncio.timeout(SIGN_OF_LIFE):
                    changed = await anext(changes)
            except StopAsyncIteration:
                return
            if changed:
                await notify_all(changed, notify)
                told += len(changed)
                tell(f"{told} changes told")


async def notify_all(changed: set[UUID], notify: Notify) -> None:
    """Each is told, however long Temporal is away; one that cannot be told holds up only this word."""
    notice = Notice(by=Finder.WATCH, at=datetime.now(UTC))
    gate = asyncio.Semaphore(AT_ONCE)

    async def until_told(deployment_id: UUID) -> None:
        failures = 0
        while True:
            try:
                async with gate:
                    return await notify(deployment_id, notice)
            except Exception as error:
                failures += 1
                if failures == 1 or failures % 60 == 0:
                    log.warning(
                        "a change waits to be told",
                        deployment=str(deployment_id),
                        error=type(error).__name__,
                        failures=failures,
                    )
                await asyncio.sleep(PAUSE)

    async with asyncio.TaskGroup() as group:
        for deployment_id in changed:
            group.create_task(until_told(deployment_id))
