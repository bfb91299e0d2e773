"""A pod that is well goes as its disruption budget allows: by the same door that drains of nodes go through."""

import asyncio
import time

from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.kinds import POD, Manifest, Served
from dataplane.kubernetes.manifests.releases import since
from dataplane.kubernetes.trouble import Trouble
from dataplane.plane import Tell

AGAIN = 0.4
TOO_MANY = 429


async def evict(cluster: Cluster, name: str, tell: Tell, patience: float) -> None:
    """Delete a pod that is well, as soon as the disruption budget allows it."""
    path = f"{await cluster.path(POD, name, None)}/eviction"
    body = eviction(await cluster.served(), cluster.namespace, name)
    deadline = time.monotonic() + patience
    while True:
        try:
            await cluster.ask("POST", path, body=body, missing=True)
        except Trouble as trouble:
            if trouble.status != TOO_MANY or time.monotonic() > deadline:
                raise
            tell(f"{name} may not be ended yet: too few others are up")
            await asyncio.sleep(AGAIN)
        else:
            return


def eviction(served: Served, namespace: str, name: str) -> Manifest:
    """What asks for the end of a pod; its new version is taken from 1.22 on."""
    return {
        "apiVersion": "policy/v1" if since(served, 1, 22) else "policy/v1beta1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace},
    }
