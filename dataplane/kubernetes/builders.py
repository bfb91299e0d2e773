"""From a wish to all that is applied for it on one cluster: the pure builders, given what only this cluster and its
keyring know."""

import asyncio

from dataplane.kubernetes import names
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.environment import Addresses, Environment
from dataplane.kubernetes.kinds import DEPLOYMENT, HTTP_ROUTE, Manifest, Served
from dataplane.kubernetes.manifests.account import account
from dataplane.kubernetes.manifests.deployment import deployment
from dataplane.kubernetes.manifests.disruption import budget
from dataplane.kubernetes.manifests.ingress import ingress
from dataplane.kubernetes.manifests.network import policy
from dataplane.kubernetes.manifests.route import routes
from dataplane.kubernetes.manifests.service import service
from dataplane.kubernetes.manifests.variables import name as variables
from dataplane.kubernetes.manifests.variables import secret
from dataplane.kubernetes.references import reference
from dataplane.kubernetes.site import Site
from workflows.shapes import Wish


def revision(
    site: Site, wish: Wish, served: Served, environment: Environment, written: str = ""
) -> list[Manifest]:
    """All that a revision's servers are made of, in the order in which it is applied."""
    values = environment.values(wish)
    fingerprint = environment.fingerprint(values, written)
    taken = environment.taken(wish)
    allowed = [one for one in wish.secret_references if one.name not in taken]
    wish = wish.model_copy(update={"secret_references": allowed})
    named = variables(wish, fingerprint)
    return [
        account(site, wish),
        policy(site, wish, served, environment.ports(values)),
        budget(site, wish, served),
        secret(site, wish, values, fingerprint),
        deployment(site, wish, reference(site, wish), named, fingerprint, served),
    ]


def door(site: Site, wish: Wish, served: Served) -> list[Manifest]:
    """What leads callers to it. A Gateway is gone through where one is named and its API is served."""
    if site.door.gateway and served.has(HTTP_ROUTE):
        return [service(site, wish), *routes(site, wish, served)]
    return [service(site, wish), ingress(site, wish, served)]


class Builders:
    """The same for whoever holds a cluster."""

    def __init__(self, site: Site, cluster: Cluster, addresses: Addresses) -> None:
        self._site = site
        self._cluster = cluster
        self._environment = Environment(site, addresses)

    async def revision(self, wish: Wish) -> list[Manifest]:
        """All that a revision's servers are made of, whether it serves or not. Holds secrets."""
        served, written = await self._cluster.served(), await self._written(wish)
        return await asyncio.to_thread(revision, self._site, wish, served, self._environment, written)

    async def door(self, wish: Wish) -> list[Manifest]:
        """What leads callers to it."""
        return door(self._site, wish, await self._cluster.served())

    async def secrets(self, wish: Wish) -> frozenset[str]:
        """Every value that must not be seen in a message."""
        return await asyncio.to_thread(self._environment.secrets, wish)

    async def token(self, wish: Wish) -> str:
        """What replicas are shown to answer the plane's questions."""
        return await asyncio.to_thread(self._environment.token, wish)

    async def _written(self, wish: Wish) -> str:
        found = await self._cluster.get(DEPLOYMENT, names.server(wish.deployment_id, wish.number))
        annotations = (found or {}).get("metadata", {}).get("annotations") or {}
        return str(annotations.get(names.FINGERPRINT, ""))
