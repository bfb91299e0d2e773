"""How many servers of a deployment may be taken away at once by those who drain nodes: a quarter, and always one, for
the only one would otherwise hold up a drain for ever."""

from dataplane.kubernetes import names
from dataplane.kubernetes.kinds import DISRUPTION_BUDGET, Manifest, Served
from dataplane.kubernetes.manifests import meta
from dataplane.kubernetes.manifests.releases import since
from dataplane.kubernetes.site import Site
from workflows.shapes import Wish

AT_ONCE = "25%"
"""Rounded up."""
TELLS_ILL = (1, 27)
"""From this release on, those that are not ready anyway need not be spared."""


def budget(site: Site, wish: Wish, served: Served) -> Manifest:
    """The PodDisruptionBudget."""
    metadata = meta.of_deployment(site, wish, names.agent(wish))
    spec = {"maxUnavailable": AT_ONCE, "selector": {"matchLabels": metadata["labels"]}}
    if since(served, *TELLS_ILL):
        spec["unhealthyPodEvictionPolicy"] = "AlwaysAllow"
    return {
        "apiVersion": served.version(DISRUPTION_BUDGET),
        "kind": DISRUPTION_BUDGET.name,
        "metadata": metadata,
        "spec": spec,
    }
