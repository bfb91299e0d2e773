"""Which revision callers are led to: the Service's selector, and nothing else."""

from dataplane.kubernetes import names
from dataplane.kubernetes.kinds import Manifest
from dataplane.kubernetes.manifests import meta
from dataplane.kubernetes.site import Site
from workflows import names as plain
from workflows.shapes import Wish


def service(site: Site, wish: Wish) -> Manifest:
    """The Service, leading to this revision."""
    selector = {
        names.SHORT: plain.short(wish.deployment_id),
        names.REVISION: str(wish.number),
        names.ROLE: meta.ROLE,
    }
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta.of_deployment(site, wish, names.agent(wish)),
        "spec": {
            "type": "ClusterIP",
            "selector": selector,
            "ports": [{"name": "http", "port": names.PORT, "targetPort": names.PORT, "protocol": "TCP"}],
        },
    }
