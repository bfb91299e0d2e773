"""Kill -9 of one part in the middle of one step: afterwards the rollout has ended as if nothing had
happened.

Every case makes a deployment of its own, strikes once, waits for the end, runs the agent, counts what
exists and removes it again, so that nothing of one case helps or hides another. The whole table runs as
`make chaos`; `make test` runs the cases named in `ALWAYS`, each part and each step at least once.
"""

from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from tests.chaos.counts import until_counted, what_exists
from tests.chaos.moments import until_step
from tests.journeys.yard import Yard, agent, project
from tests.stack import Stack

PARTS = ("api", "worker", "temporal", "postgres", "valkey", "caddy", "supervisord")
STEPS = ("uploaded", "building", "provisioning", "starting", "proving", "switching", "deleting")
ALWAYS = {
    ("api", "uploaded"),
    ("worker", "building"),
    ("postgres", "provisioning"),
    ("supervisord", "starting"),
    ("valkey", "proving"),
    ("caddy", "switching"),
    ("temporal", "deleting"),
}
KINDS = ("databases", "roles", "valkeys", "servers", "routes")
TABLE = [
    pytest.param(
        part, step, id=f"{part}-while-{step}", marks=[] if (part, step) in ALWAYS else [pytest.mark.chaos]
    )
    for part in PARTS
    for step in STEPS
]
VALKEY_LIVES = ("starting", "proving", "switching", "deleting")
"""A deployment's Valkey exists only from its provisioning on; before that there is none to kill."""


@pytest.fixture
async def yard(stack: Stack) -> AsyncIterator[Yard]:
    async with Yard(stack.url, stack.api_key) as found:
        yield found


@pytest.fixture
async def temporal(stack: Stack) -> Client:
    return await Client.connect(stack.temporal_address, data_converter=pydantic_data_converter)


@pytest.mark.stack
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("part", "step"), TABLE)
async def test_a_kill_changes_nothing(
    stack: Stack, yard: Yard, temporal: Client, part: str, step: str
) -> None:
    made = await yard.create(f"kill-{part}-{step}")
    deployment = made["id"]
    if part == "valkey" and step not in VALKEY_LIVES:
        # The first revision makes the Valkey; the second one is struck.
        await yard.deployed(deployment, await yard.push(deployment, project()))
    revision = await yard.push(deployment, {**project(), "NOTES.md": f"{part} {step}"})
    if step == "deleting":
        await yard.deployed(deployment, revision)
        await yard.delete(deployment)
    if step == "switching":
        # Over within milliseconds, so that it is rarely seen: held by the gateway, whose answer it waits for.
        await until_step(temporal, deployment, "proving")
        async with stack.suspended("caddy"):
            await until_step(temporal, deployment, step)
            await stack.kill(part, deployment)
    else:
        if step != "uploaded":
            await until_step(temporal, deployment, step)
        await stack.kill(part, deployment)

    if step != "deleting":
        found = await yard.deployed(deployment, revision)
        answer = await agent(found["url"]).runs.wait(None, "echo", input={"text": "alive"})
        assert isinstance(answer, dict)
        assert answer["result"] == "ALIVE"
        await until_counted(stack, deployment, dict.fromkeys(KINDS, 1))
        await yard.delete(deployment)
    await yard.until_gone(deployment)
    assert await what_exists(stack, deployment) == dict.fromkeys(KINDS, 0)
