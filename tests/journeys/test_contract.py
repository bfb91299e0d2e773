"""The contract's own checks against a whole running stack: the official CLI, the API's conformance, the
official SDK.

They live beside the project (`GRAPHYARD_SHARED`, see tests/shared.py), so elsewhere they are skipped with a
message; in CI a missing folder is a failure.
"""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.journeys.yard import ECHO, Yard, agent, project
from tests.shared import shared
from tests.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]


def run(argv: list[str], env: dict[str, str] | None = None) -> tuple[int, str]:
    done = subprocess.run(
        argv, env={**os.environ, **(env or {})}, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("form", ["/api-host", ""], ids=["below-api-host", "at-the-root"])
def test_the_official_cli_session(stack: Stack, form: str) -> None:
    code, said = run(
        [
            "bash",
            str(shared("contract/cli_session.sh")),
            "--url",
            stack.url + form,
            "--api-key",
            stack.api_key,
            "--app",
            str(ECHO),
        ],
        {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    assert code == 0, said
    assert said.rstrip().endswith("45 passed, 0 failed"), said


def test_conformance_with_every_strict_check(stack_with_registry: Stack) -> None:
    stack = stack_with_registry
    _, said = run(
        [
            sys.executable,
            str(shared("contract/conformance.py")),
            "--strict",
            "--base-url",
            stack.url + "/api-host",
            "--api-key",
            stack.api_key,
            "--tenant-id",
            stack.tenant_id,
            "--log-wait",
            "90",
        ],
    )
    assert re.findall(r"^FAIL .*", said, re.M) == [], said
    assert re.findall(r"^SKIP ([\w.]+)", said, re.M) == ["auth.org_key"], said
    assert len(re.findall(r"^PASS ", said, re.M)) >= 84, said


async def test_the_official_sdk_exercises_deployed_agents(stack: Stack) -> None:
    """One replica and two; crons first and side by side, since the exercise deletes all that it finds."""
    async with (
        Yard(stack.url, stack.api_key) as yard,
        deployed(yard, "exercise-1", 1) as one,
        deployed(yard, "exercise-2", 2) as two,
    ):
        await asyncio.gather(a_cron_fires(one), a_cron_fires(two))
        for url in (one, two):
            code, said = await asyncio.to_thread(run, [sys.executable, str(shared("lab/exercise.py")), url])
            assert code == 0, said
            assert said.rstrip().endswith("53 passed, 0 failed"), said


@pytest.mark.chaos
async def test_the_exercise_with_its_own_cron(stack: Stack) -> None:
    """Its cron shows only in the minutes that five divides: it watches for 75 s, so it has to begin in time."""
    async with Yard(stack.url, stack.api_key) as yard, deployed(yard, "exercise-cron", 2) as url:
        await asyncio.sleep((240 - time.time()) % 300)
        code, said = await asyncio.to_thread(
            run, [sys.executable, str(shared("lab/exercise.py")), url], {"CRON": "1"}
        )
        assert code == 0, said
        assert said.rstrip().endswith("54 passed, 0 failed"), said


@asynccontextmanager
async def deployed(yard: Yard, name: str, replicas: int) -> AsyncIterator[str]:
    """The URL of an agent for as long as the body runs."""
    made = await yard.create(name)
    revision = await yard.push(made["id"], project(), resources={"min_scale": replicas})
    yield (await yard.deployed(made["id"], revision))["url"]
    await yard.delete(made["id"])
    await yard.until_gone(made["id"])


async def a_cron_fires(url: str) -> None:
    """Its run is on its thread within the minute, and a little."""
    thread = (await agent(url).threads.create())["thread_id"]
    await agent(url).crons.create_for_thread(thread, "echo", schedule="* * * * *", input={"text": "cron"})
    async with asyncio.timeout(90):
        while True:
            values = (await agent(url).threads.get(thread)).get("values")
            if isinstance(values, dict) and values.get("result") == "CRON":
                return
            await asyncio.sleep(0.5)
