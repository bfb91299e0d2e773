"""Taking away things of ours in a cluster that no record knows, one at a time and by name.

A name that is not of our making is refused, and so is an object without our labels, whatever was asked: this is
the one place that removes things nobody's wish speaks of. What is gone already is fine.
"""

import asyncio
import time
from collections.abc import Collection, Mapping

import structlog

from dataplane.kubernetes import names
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.kinds import (
    CNPG_CLUSTER,
    CONFIG_MAP,
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    HTTP_ROUTE,
    INGRESS,
    JOB,
    KINDS,
    NETWORK_POLICY,
    POD,
    REPLICA_SET,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
    STATEFUL_SET,
    VOLUME_CLAIM,
    Kind,
)
from dataplane.local.orphans import PATTERNS, NotOurs
from dataplane.postgres import orphaned
from workflows.shapes import Resource, ResourceKind

log = structlog.get_logger()

OF_REVISIONS = (DEPLOYMENT, SECRET, CONFIG_MAP, JOB)
OF_DOORS = (INGRESS, HTTP_ROUTE, SERVICE, DISRUPTION_BUDGET, NETWORK_POLICY, SERVICE_ACCOUNT)
OF_STATE = (CNPG_CLUSTER, STATEFUL_SET, SERVICE, SECRET, NETWORK_POLICY, CONFIG_MAP)
PATIENCE = 90.0
AGAIN = 0.3


class Orphans:
    """Orphans of one plane. Without `postgres_admin`, deployments have servers of their own."""

    def __init__(self, cluster: Cluster, postgres_admin: str = "") -> None:
        self._cluster = cluster
        self._dsn = postgres_admin

    async def remove(self, orphan: Resource) -> None:
        """Have it gone. Data goes only where `holds_data` says that it was asked for: what turns out to hold
        some after all is left alone."""
        named = PATTERNS[orphan.kind].fullmatch(orphan.name)
        if named is None:
            raise NotOurs(f"{orphan.kind} {orphan.name!r} is not a name of ours")
        labels = {**names.mine(self._cluster.plane), names.SHORT: named["short"]}
        match orphan.kind:
            case ResourceKind.PROCESS:
                await self._revision({**labels, names.REVISION: named["number"]})
            case ResourceKind.ROUTE:
                await self._door(labels)
            case ResourceKind.REDIS:
                await self._state({**labels, names.ROLE: "redis"}, asked=orphan.holds_data)
            case ResourceKind.ROLE if self._dsn:
                await orphaned.drop_role(self._dsn, orphan.name)
            case ResourceKind.DATABASE if self._dsn and orphan.holds_data:
                await orphaned.drop_database(self._dsn, orphan.name)
            case ResourceKind.DATABASE if not self._dsn:
                await self._state({**labels, names.ROLE: "postgres"}, asked=orphan.holds_data)
            case ResourceKind.DATABASE:
                log.warning("an orphaned database is left alone: nobody asked for its end", name=orphan.name)
            case ResourceKind.ROLE:
                log.info("an orphaned role goes with its server", name=orphan.name)

    async def _revision(self, labels: Mapping[str, str]) -> None:
        """All of a revision. A Deployment that is deleted in its first instant may still get its pods: look
        again until there are none."""
        pods = {**labels, names.ROLE: "server"}
        deadline = time.monotonic() + PATIENCE
        await self._delete(OF_REVISIONS, labels)
        while left := [*await self._cluster.all(POD, pods), *await self._cluster.all(REPLICA_SET, pods)]:
            await self._delete(OF_REVISIONS, labels)
            for found in left:
                # Whose maker is gone already goes only if it is told so.
                if not found["metadata"].get("ownerReferences"):
                    await self._cluster.delete(KINDS[found["kind"]], found["metadata"]["name"])
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(left)} things are still there")
            await asyncio.sleep(AGAIN)

    async def _door(self, labels: Mapping[str, str]) -> None:
        """Everything of a deployment that has no revision and is neither its Valkey nor its Postgres."""
        for kind in OF_DOORS:
            await self._delete((kind,), labels, but=("redis", "postgres"))

    async def _state(self, labels: Mapping[str, str], *, asked: bool) -> None:
        claims = await self._cluster.all(VOLUME_CLAIM, labels)
        if claims and not asked:
            log.warning("an orphan is left alone: it holds data by now", role=labels[names.ROLE])
            return
        await self._delete((*OF_STATE, VOLUME_CLAIM), labels)

    async def _delete(
        self, kinds: Collection[Kind], labels: Mapping[str, str], but: Collection[str] = ()
    ) -> None:
        served = await self._cluster.served()
        for kind in kinds:
            if not served.has(kind):
                continue
            for found in await self._cluster.all(kind, labels):
                if found["metadata"]["labels"].get(names.ROLE) not in but:
                    await self._cluster.delete(kind, found["metadata"]["name"], propagation="Foreground")
