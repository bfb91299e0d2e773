"""What docs/kubernetes.md tells a stranger to run, run: from images to an agent's answer, and everything away again."""

import asyncio
import os

import pytest

from dataplane.kubernetes.cluster import Cluster
from tests.cluster import DOOR, kubeconfig
from tests.deploy.helm import chart
from tests.kubernetes.installed import HOST, RELAY, relayed
from tests.shared import shared

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

SCRIPT = chart.PLACE.parents[1] / "kubernetes" / "try.sh"
AGENTS = "gy-try-agents"
OWN_RELAY = RELAY + 2
URL = DOOR.replace("127.0.0.1", "localhost")
"""By a name, so that it may stand beside an installation that answers at the bare address."""


async def tried(*words: str) -> str:
    settings = {
        "REGISTRY_API": f"http://{HOST}:{OWN_RELAY}",
        "VALUES": str(chart.ONE_NODE),
        "URL": URL,
        "RELEASE": "try",
        "NAMESPACE": "gy-try",
        "AGENTS": AGENTS,
        "PATIENCE": "300",
    }
    # kubectl is the cluster's own here.
    path = f"{os.environ.get('KUBEBUILDER_ASSETS', '')}:{os.environ['PATH']}"
    process = await asyncio.create_subprocess_exec(
        str(SCRIPT),
        *words,
        env={**os.environ, **settings, "PATH": path},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()


async def test_a_stranger_gets_an_agent_that_answers() -> None:
    kubeconfig()
    shared("kube/up")
    with relayed(OWN_RELAY):
        try:
            said = await tried()
            assert '"result":"IT WORKS"' in said.replace('": "', '":"'), said
        finally:
            await tried("--down")
    cluster = await Cluster.connect(kubeconfig(), AGENTS, "main")
    try:
        async with asyncio.timeout(180):
            while await cluster.ask("GET", f"/api/v1/namespaces/{AGENTS}", missing=True):
                await asyncio.sleep(1)
    finally:
        await cluster.close()
