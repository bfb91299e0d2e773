"""The worker of a plane is gone: said within half a minute, agents serve on, and what is wished for meanwhile
is done once when it returns."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from dataplane.local.supervisor import Supervisor
from tests.journeys.yard import Yard, agent, project
from tests.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]
NOTICED = 30
DRIFT = "/v2/listeners/local/drift"


@pytest.fixture
async def yard(stack: Stack) -> AsyncIterator[Yard]:
    async with Yard(stack.url, stack.api_key) as found:
        yield found


async def test_what_is_wished_for_meanwhile_is_done_once(stack: Stack, yard: Yard) -> None:
    deployment = (await yard.create("plane-away"))["id"]
    found = await yard.deployed(deployment, await yard.push(deployment, project()))
    await _until_shown(yard, "online", 30)

    supervisor = Supervisor(stack.home)
    await supervisor.stop(["worker"])
    try:
        wished = [
            await yard.revise(deployment, secrets=[{"name": "ECHO_PREFIX", "value": f"{turn}-"}])
            for turn in range(3)
        ]
        said = await _until_shown(yard, "offline", NOTICED)
        assert said["offline_since"] == said["seen_at"]
        told = await asyncio.to_thread(stack.graphyard, "status", check=False)
        assert "offline" in told.stdout, told.stdout
        assert (await yard.deployment(deployment))["status"] == "READY"
        own = await yard.call("GET", f"/v2/deployments/{deployment}/drift")
        assert own["plane"]["status"] == "offline"
        assert own["plane"]["offline_since"] == said["offline_since"]
        assert await _shout(found["url"]) == "ALIVE"
    finally:
        await supervisor.start("worker")

    await yard.deployed(deployment, wished[-1])
    assert [(await yard.until(deployment, one))["status"] for one in wished[:-1]] == ["SKIPPED", "SKIPPED"]
    assert await _shout(found["url"]) == "2-ALIVE"
    assert len(await yard.revisions(deployment)) == 1 + len(wished)
    await _until_shown(yard, "online", 30)
    await yard.delete(deployment)
    await yard.until_gone(deployment)


async def _shout(url: str) -> str:
    answer = await agent(url).runs.wait(None, "echo", input={"text": "alive"})
    assert isinstance(answer, dict)
    said: str = answer["result"]
    return said


async def _until_shown(yard: Yard, status: str, limit: float) -> dict[str, Any]:
    deadline = time.monotonic() + limit
    while True:
        found: dict[str, Any] = await yard.call("GET", DRIFT)
        if found["status"] == status:
            return found
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.5)
