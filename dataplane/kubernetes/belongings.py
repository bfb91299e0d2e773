"""All that a cluster shows of one deployment, by one look at each kind."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from dataplane.kubernetes import names
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.kinds import (
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    HTTP_ROUTE,
    INGRESS,
    NETWORK_POLICY,
    POD,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
    Kind,
    Manifest,
)

OF_SERVERS = (
    DEPLOYMENT,
    POD,
    SECRET,
    SERVICE_ACCOUNT,
    NETWORK_POLICY,
    DISRUPTION_BUDGET,
    SERVICE,
    INGRESS,
    HTTP_ROUTE,
)


@dataclass(frozen=True)
class Belongings:
    """Objects by kind."""

    objects: Mapping[str, Sequence[Manifest]] = field(default_factory=dict)

    def of(self, kind: Kind, *, revision: int | None = None, role: str | None = None) -> Iterator[Manifest]:
        """Those of a kind, in no order."""
        for one in self.objects.get(kind.name, ()):
            labels = one["metadata"].get("labels") or {}
            if revision is not None and labels.get(names.REVISION) != str(revision):
                continue
            if role is None or labels.get(names.ROLE) == role:
                yield one

    def like(self, wanted: Manifest) -> Manifest | None:
        """The one that this manifest would be applied to."""
        for one in self.objects.get(wanted["kind"], ()):
            if one["metadata"]["name"] == wanted["metadata"]["name"]:
                return one
        return None


async def gather(cluster: Cluster, deployment_id: UUID) -> Belongings:
    """Everything of the servers and the door of one deployment. Raises when the API is away."""
    served = await cluster.served()
    kinds = [kind for kind in OF_SERVERS if served.has(kind)]
    labels = names.of_deployment(cluster.plane, deployment_id)
    found = await asyncio.gather(*(cluster.all(kind, labels) for kind in kinds))
    return Belongings({kind.name: objects for kind, objects in zip(kinds, found, strict=True)})
