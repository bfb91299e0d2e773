"""Beats that carry the last sentence, stop with the body, and let a cancellation through."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.heartbeat import LONGEST, heartbeat


@pytest.fixture
def beats() -> list[tuple[Any, ...]]:
    return []


@pytest.fixture
def environment(beats: list[tuple[Any, ...]]) -> ActivityEnvironment:
    made = ActivityEnvironment()
    made.info = replace(made.info, heartbeat_timeout=timedelta(seconds=0.2))
    made.on_heartbeat = lambda *details: beats.append(details)
    return made


async def test_it_beats_while_the_body_runs(
    environment: ActivityEnvironment, beats: list[tuple[Any, ...]]
) -> None:
    async def step() -> None:
        async with heartbeat():
            async with asyncio.timeout(5):
                while len(beats) < 3:
                    await asyncio.sleep(0.01)

    await environment.run(step)
    seen = len(beats)
    await asyncio.sleep(0.05)
    assert len(beats) == seen


async def test_a_sentence_goes_out_at_once_also_from_a_thread(
    environment: ActivityEnvironment, beats: list[tuple[Any, ...]]
) -> None:
    environment.info = replace(environment.info, heartbeat_timeout=timedelta(hours=1))

    async def step() -> None:
        async with heartbeat() as tell:
            await asyncio.to_thread(tell, "x" * 2 * LONGEST)
            async with asyncio.timeout(5):
                while ("x" * LONGEST,) not in beats:
                    await asyncio.sleep(0.01)

    await environment.run(step)


async def test_a_step_without_a_limit_beats_once(
    environment: ActivityEnvironment, beats: list[tuple[Any, ...]]
) -> None:
    environment.info = replace(environment.info, heartbeat_timeout=None)

    async def step() -> None:
        async with heartbeat():
            await asyncio.sleep(0.05)

    await environment.run(step)
    assert beats == [()]


async def test_a_cancellation_ends_the_body(environment: ActivityEnvironment) -> None:
    began = asyncio.Event()

    async def step() -> None:
        async with heartbeat():
            began.set()
            await asyncio.Event().wait()

    running = asyncio.create_task(environment.run(step))
    await began.wait()
    environment.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_sentence_right_before_the_end_does_not_keep_it_alive(
    environment: ActivityEnvironment,
) -> None:
    async def step() -> None:
        async with heartbeat() as tell:
            await asyncio.sleep(0.02)
            tell("almost there")
            await asyncio.sleep(0)

    async with asyncio.timeout(5):
        await environment.run(step)
