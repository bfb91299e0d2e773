"""As whom a deployment's pods run: an account of their own that may do nothing, and whose token they do not get."""

from dataplane.kubernetes import names
from dataplane.kubernetes.kinds import Manifest
from dataplane.kubernetes.manifests import meta
from dataplane.kubernetes.site import Site
from workflows.shapes import Wish


def account(site: Site, wish: Wish) -> Manifest:
    """The ServiceAccount; made also for those who name another, who may stop doing so."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": meta.of_deployment(site, wish, names.agent(wish)),
        "automountServiceAccountToken": False,
    }
