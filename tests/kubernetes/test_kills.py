"""Kill -9 of one part of an installed chart, or of the cluster that carries it, in the middle of one step: afterwards
the rollout has ended as if nothing had happened.

The table of the control plane's own parts on a cluster. Every case makes a deployment of its own, strikes once, lets
the cluster put right what is its to put right, waits for the end, runs the agent, counts what exists and removes it
again. All cases run as `make chaos`; `make test` runs two lives that are struck in nearly every step, so that each part
and each step is met without a deployment for each.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from dataplane.kubernetes import names
from dataplane.kubernetes.kinds import POD
from tests.chaos.moments import until_step
from tests.journeys.yard import Yard, agent, project
from tests.kubernetes import hands
from tests.kubernetes.installed import SLIM, Installed
from tests.kubernetes.tally import until_counted, until_standing

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

COMPONENT = "app.kubernetes.io/component"
INSTALLED = {
    "api": "api",
    "control-worker": "control",
    "plane-worker": "plane",
    "temporal": "temporal",
    "postgres": "postgres",
}
"""Parts of the installation, by the component that their pods are labelled with."""
BELONGING = {"valkey": "redis", "server": "server"}
"""Parts of the deployment itself, by the role that their pods are labelled with."""
CLUSTER = ("registry", "kube-apiserver", "kubelet")
PARTS = (*INSTALLED, *BELONGING, *CLUSTER)
STEPS = ("provisioning", "building", "starting", "proving", "switching", "deleting")
"""In the order of their first moments; the first two go side by side."""
ALWAYS = {
    "a-life-under-blows": (
        ("provisioning", "postgres"),
        ("building", "registry"),
        ("starting", "server"),
        ("proving", "control-worker"),
        ("switching", "api"),
        ("deleting", "temporal"),
    ),
    "another": (
        ("provisioning", "valkey"),
        ("building", "plane-worker"),
        ("starting", "kubelet"),
        ("deleting", "kube-apiserver"),
    ),
}
"""Lives in which each part and each step is struck at least once."""
BEFORE_ITS_SERVERS = ("building", "provisioning")
"""Steps in which a first revision has no server yet to kill."""
TABLE = [
    *(pytest.param(blows, id=name) for name, blows in ALWAYS.items()),
    # Step by step, so that a part has some minutes between two kills: a kubelet doubles its pause before each restart.
    *(
        pytest.param(((step, part),), id=f"{part}-while-{step}", marks=pytest.mark.chaos)
        for step in STEPS
        for part in PARTS
    ),
]
PATIENCE = 300.0


@pytest.fixture
async def yard(installed: Installed) -> AsyncIterator[Yard]:
    async with Yard(installed.url, installed.api_key, patience=PATIENCE) as found:
        yield found


@pytest.fixture
async def temporal(installed: Installed) -> AsyncIterator[Client]:
    """Temporal from here; whoever comes next finds everything that was killed up again."""
    yield await Client.connect(installed.temporal, data_converter=pydantic_data_converter)
    await until_standing(installed)


async def strike(installed: Installed, part: str, deployment: str) -> None:
    """Kill one part whole; what the cluster does not start again by itself is started again here."""
    if part in CLUSTER:
        await hands.restart_part(part)
        return
    if part in INSTALLED:
        found = await standing(installed.namespace, installed, {COMPONENT: INSTALLED[part]})
    else:
        found = await belonging(installed, deployment, BELONGING[part])
    for pod in found:
        await hands.kill_pod(pod)


async def belonging(installed: Installed, deployment: str, role: str) -> list[str]:
    """The deployment's own pods of a role, once there are any."""
    labels = names.of_deployment("main", UUID(deployment)) | {names.ROLE: role}
    return await standing(installed.agents, installed, labels)


async def standing(
    namespace: str, installed: Installed, labels: dict[str, str], limit: float = 90
) -> list[str]:
    """The names of the pods with these labels in which something runs, once there are any."""
    cluster = await installed.at(namespace)
    try:
        async with asyncio.timeout(limit):
            while True:
                if found := [one["metadata"]["name"] for one in await cluster.all(POD, labels) if runs(one)]:
                    return found
                await asyncio.sleep(0.1)
    finally:
        await cluster.close()


def runs(pod: dict[str, Any]) -> bool:
    """Whether any container of a pod that is to stay runs, those that prepare it among them."""
    status = pod.get("status") or {}
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    staying = "deletionTimestamp" not in pod["metadata"]
    return staying and any("running" in (one.get("state") or {}) for one in containers)


@pytest.mark.parametrize("blows", TABLE)
async def test_kills_change_nothing(
    installed: Installed, yard: Yard, temporal: Client, blows: tuple[tuple[str, str], ...]
) -> None:
    for _, part in blows:
        hands.part(part if part in CLUSTER else "kubelet")  # skips, where the cluster is somebody else's
    made = await yard.create("kill-" + "-".join(blows[0]))
    deployment = made["id"]
    if any(part == "server" and step in BEFORE_ITS_SERVERS for step, part in blows):
        # The first revision's server is killed, while the second one is on its way.
        await yard.deployed(deployment, await yard.push(deployment, project(), resources=SLIM), PATIENCE)
    # Only what was never built before is built; all others share one image.
    steps = [step for step, _ in blows]
    source = project() | ({"NOTES.md": uuid4().hex} if "building" in steps else {})
    revision = await yard.push(deployment, source, resources=SLIM)
    for step, part in blows:
        if step != "deleting":
            await until_struck(installed, temporal, deployment, step, part)
    found = await yard.deployed(deployment, revision, PATIENCE)
    if steps != ["deleting"]:
        await serves(found["url"])
        await until_counted(installed, deployment)
    await yard.delete(deployment)
    if "deleting" in steps:
        await until_struck(installed, temporal, deployment, *blows[-1])
    await yard.until_gone(deployment, PATIENCE)
    assert await installed.left_of(deployment) == []


async def until_struck(installed: Installed, temporal: Client, deployment: str, step: str, part: str) -> None:
    """Wait for the middle of a step, and kill."""
    await until_step(temporal, deployment, step, PATIENCE)
    if step == "building":
        await belonging(installed, deployment, "build")  # the step is older than the build itself
    await strike(installed, part, deployment)


async def serves(url: str) -> None:
    """DEPLOYED is a promise: the agent answers the first time it is asked."""
    async with asyncio.timeout(60):
        answer = await agent(url).runs.wait(None, "echo", input={"text": "alive"})
    assert isinstance(answer, dict)
    assert answer["result"] == "ALIVE"
