"""The Deployment of one revision. It runs beside those of others; who serves is the Service's to say."""

import math

from dataplane.kubernetes import names
from dataplane.kubernetes.kinds import DEPLOYMENT, Manifest, Served
from dataplane.kubernetes.manifests import meta
from dataplane.kubernetes.manifests.pod import template
from dataplane.kubernetes.site import Site
from workflows.shapes import Wish


def deployment(
    site: Site, wish: Wish, image: str, variables: str, fingerprint: str, served: Served
) -> Manifest:
    """With a new pod up before an old one goes."""
    metadata = meta.of_revision(site, wish, names.server(wish.deployment_id, wish.number))
    metadata["labels"] = {**meta.labels(wish), **metadata["labels"]}
    metadata["annotations"] |= {names.FINGERPRINT: fingerprint, names.IMAGE: image}
    return {
        "apiVersion": served.version(DEPLOYMENT),
        "kind": DEPLOYMENT.name,
        "metadata": metadata,
        "spec": {
            "replicas": wish.replicas,
            "revisionHistoryLimit": 1,
            "progressDeadlineSeconds": math.ceil(site.progress_seconds),
            "selector": {"matchLabels": meta.selected(site, wish)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": template(site, wish, image, variables, served),
        },
    }
