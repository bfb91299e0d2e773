"""A real cluster for tests: whatever `KUBECONFIG` leads to, and a namespace of one's own in it.

Where there is none, what needs one is skipped and says so; CI starts one, so there nothing is.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.manifests.releases import since
from dataplane.kubernetes.site import Database, Door, Images, Registry, Site
from dataplane.kubernetes.trouble import Trouble
from workflows.pods import Resources

NONE = "needs a real Kubernetes: start one (README, “Check it on a cluster”) and set KUBECONFIG"
PLANE = "test"
REGISTRY = os.environ.get("GRAPHYARD_TEST_REGISTRY", "localhost:5000")
DOOR = os.environ.get("GRAPHYARD_TEST_DOOR", "http://127.0.0.1:8880")
"""Where the cluster's ingress controller listens."""
SLIM = Resources(cpu=0.05, cpu_limit=2, memory_mb=128, redis_cpu=0.02, db_cpu=0.05)
"""For many at once on a node of two cores; without a limit of their own pods start at twice what they ask for."""


def kubeconfig() -> Path:
    """Where the cluster's configuration is; skips the test that asks where there is none."""
    place = os.environ.get("KUBECONFIG", "")
    if not place or not Path(place).is_file():
        if os.environ.get("CI"):
            pytest.fail("KUBECONFIG leads nowhere: in CI nothing that needs a cluster may be skipped")
        pytest.skip(NONE)
    return Path(place)


@asynccontextmanager
async def namespaced(prefix: str = "gy") -> AsyncIterator[Cluster]:
    """A cluster at a fresh namespace that goes away with everything in it."""
    name = f"{prefix}-{uuid4().hex[:8]}"
    cluster = await Cluster.connect(kubeconfig(), name, PLANE)
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    await cluster.ask("POST", "/api/v1/namespaces", body=manifest)
    try:
        # Until then a token was made for every account.
        tokens = not since(await cluster.served(), 1, 24)
        async with asyncio.timeout(30):
            # Pods are refused until the namespace's default account is there, and its token where it is given one.
            while not (found := await cluster.ask("GET", account(name), missing=True)) or (
                tokens and not found.get("secrets")
            ):
                if not (await cluster.ask("GET", "/api/v1/nodes"))["items"]:
                    # An API alone: nobody makes accounts there, nor pods.
                    break
                await asyncio.sleep(0.05)
        yield cluster
    finally:
        try:
            await cluster.ask("DELETE", f"/api/v1/namespaces/{name}", missing=True)
        except Trouble:
            pass
        finally:
            await cluster.close()


def account(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/serviceaccounts/default"


def a_site(namespace: str, keys: Path, **changes: object) -> Site:
    """A plane in one namespace; what a test does not name is as on the one-node cluster of CI."""
    values: dict[str, object] = {
        "plane": PLANE,
        "namespace": namespace,
        "build_namespace": namespace,
        "kubeconfig": kubeconfig(),
        "keys": keys,
        "registry": Registry(address=REGISTRY, api=f"http://{REGISTRY}", insecure=True),
        "images": Images(
            server={"pg-3.11": f"{REGISTRY}/graphyard/server:pg-3.11"},
            node_server=f"{REGISTRY}/graphyard/server:node",
            builder=f"{REGISTRY}/graphyard/builder:test",
            postgres=f"{REGISTRY}/graphyard/postgres:test",
            valkey=f"{REGISTRY}/graphyard/valkey:test",
        ),
        "database": Database(),
        "door": Door(public_url=DOOR),
        "progress_seconds": 60.0,
        "drain_seconds": 5.0,
        "stuck_seconds": 20.0,
        "host_network_builds": True,
    }
    return Site(**{**values, **changes})  # type: ignore[arg-type]
