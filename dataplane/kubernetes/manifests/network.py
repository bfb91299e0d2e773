"""Who may reach a deployment's servers, and whom they may reach.

Nobody in, but on the servers' port; and there only whoever a site names as its door, the plane's worker, and the
deployment's own pods, who ask each other who serves.
"""

from collections.abc import Collection
from typing import Any

from dataplane.kubernetes import names
from dataplane.kubernetes.kinds import NETWORK_POLICY, Manifest, Served
from dataplane.kubernetes.manifests import meta
from dataplane.kubernetes.manifests_databases import WORKER
from dataplane.kubernetes.site import Site
from workflows.shapes import Wish

NAMES = 53
API = {meta.NAME: names.MANAGER}
"""The platform's own pods: an agent's callers are checked there."""


def policy(site: Site, wish: Wish, served: Served, databases: Collection[int] = ()) -> Manifest:
    """The NetworkPolicy. `databases` are the ports of those outside: where names lead is not known to a policy."""
    metadata = meta.of_deployment(site, wish, names.agent(wish))
    mine = {"podSelector": {"matchLabels": names.of_deployment(site.plane, wish.deployment_id)}}
    worker = {"namespaceSelector": {}, "podSelector": {"matchLabels": WORKER}}
    enter: dict[str, Any] = {"ports": [{"port": names.PORT, "protocol": "TCP"}]}
    if site.door.sources:
        enter["from"] = [mine, worker, *(dict(one) for one in site.door.sources)]
    spec: dict[str, Any] = {
        "podSelector": {"matchLabels": metadata["labels"]},
        "policyTypes": ["Ingress"],
        "ingress": [enter],
    }
    if not site.door.open_egress:
        spec["policyTypes"] = ["Ingress", "Egress"]
        spec["egress"] = [
            {"ports": [{"port": NAMES, "protocol": protocol} for protocol in ("UDP", "TCP")]},
            {"to": [mine, {"namespaceSelector": {}, "podSelector": {"matchLabels": API}}]},
        ]
        if databases:
            spec["egress"].append(
                {"ports": [{"port": port, "protocol": "TCP"} for port in sorted(databases)]}
            )
    return {
        "apiVersion": served.version(NETWORK_POLICY),
        "kind": NETWORK_POLICY.name,
        "metadata": metadata,
        "spec": spec,
    }
