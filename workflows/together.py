"""Doing two things at once, and doing one thing to its end: what asyncio's own tools do not promise in a
workflow. They order tasks by sets, which no replay repeats, and they do not wait for what they cancel."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import is_cancelled_exception

Result = TypeVar("Result")


async def side_by_side(*stories: Coroutine[Any, Any, None]) -> None:
    """Run them all. If one fails, or all are given up, the others are cancelled and really over before the
    failure goes on."""
    tasks = [asyncio.create_task(story) for story in stories]
    try:
        await workflow.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        await workflow.wait(tasks)
        errors = [error for task in tasks if (error := _error(task)) is not None]
    failures = [error for error in errors if not is_cancelled_exception(error)]
    for error in failures or errors:
        raise error


async def to_the_end(story: Coroutine[Any, Any, Result]) -> Result:
    """Run what must not be given up any more. A workflow is asked to end once; that is let pass here."""
    task = asyncio.create_task(story)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        return await task


def _error(task: asyncio.Task[None]) -> BaseException | None:
    return asyncio.CancelledError() if task.cancelled() else task.exception()
