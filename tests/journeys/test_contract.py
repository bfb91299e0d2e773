"""The contract's own checks against a whole running stack: the official CLI, the API's conformance, the
official SDK.

They live beside the project (`GRAPHYARD_SHARED`, see tests/shared.py), so elsewhere they are skipped with a
message; in CI a missing folder is a failure.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.journeys.yard import ECHO, Yard, project
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
        ],
    )
    assert re.findall(r"^FAIL .*", said, re.M) == [], said
    assert re.findall(r"^SKIP ([\w.]+)", said, re.M) == ["auth.org_key"], said
    assert len(re.findall(r"^PASS ", said, re.M)) >= 84, said


@pytest.mark.parametrize("replicas", [1, 2])
async def test_the_official_sdk_exercises_a_deployed_agent(stack: Stack, replicas: int) -> None:
    async with Yard(stack.url, stack.api_key) as yard:
        made = await yard.create(f"exercise-{replicas}")
        revision = await yard.push(made["id"], project(), resources={"min_scale": replicas})
        found = await yard.deployed(made["id"], revision)
        code, said = run([sys.executable, str(shared("lab/exercise.py")), found["url"]], {"CRON": "1"})
        assert code == 0, said
        assert said.rstrip().endswith(" 0 failed"), said
        await yard.delete(made["id"])
        await yard.until_gone(made["id"])
