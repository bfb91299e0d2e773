"""A namespace of a cluster as a data plane: its ports, built from what the worker's main knows."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from dataplane.images.inflate import Limits
from dataplane.kubernetes.builders import Builders
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.databases import KubernetesDatabases
from dataplane.kubernetes.entrance import Entrance
from dataplane.kubernetes.images.images import KubernetesImages, Links
from dataplane.kubernetes.orphans import Orphans
from dataplane.kubernetes.ours import Ours
from dataplane.kubernetes.remedies import Remedies
from dataplane.kubernetes.remembered import Remembered
from dataplane.kubernetes.servers import KubernetesServers, at
from dataplane.kubernetes.shipper import Reports, Shipper
from dataplane.kubernetes.sight import ServerSight
from dataplane.kubernetes.site import Site
from dataplane.kubernetes.survey import Survey
from dataplane.kubernetes.upkeep import KubernetesUpkeep
from dataplane.kubernetes.watch import Watch
from dataplane.plane import Plane, Sources, Tell
from workflows.drift import Fact
from workflows.shapes import Image, Sighting, Wish

log = structlog.get_logger()

AGAIN = 5.0


class Asked:
    """One part of every deployment, as somebody else shows it."""

    def __init__(self, shown: Callable[[Wish], Awaitable[list[Fact]]]) -> None:
        self._shown = shown

    async def facts(self, wish: Wish) -> list[Fact]:
        return await self._shown(wish)


class MarkedImages:
    """The images, with what builds make and take away marked as our own doing."""

    def __init__(self, images: KubernetesImages, ours: Ours) -> None:
        self._images = images
        self._ours = ours
        self.preflight = images.preflight
        self.collect = images.collect

    async def build(self, wish: Wish, tell: Tell) -> Image:
        with self._ours.during(wish.deployment_id):
            return await self._images.build(wish, tell)


class MarkedDatabases:
    """The databases, with every change marked as our own doing."""

    def __init__(self, databases: KubernetesDatabases, ours: Ours) -> None:
        self._databases = databases
        self._ours = ours

    async def provision(self, wish: Wish) -> None:
        with self._ours.during(wish.deployment_id):
            await self._databases.provision(wish)

    async def remove(self, wish: Wish) -> None:
        with self._ours.during(wish.deployment_id):
            await self._databases.remove(wish)

    async def observe(self, wish: Wish) -> Sighting:
        return await self._databases.observe(wish)


@asynccontextmanager
async def kubernetes_plane(
    site: Site, cluster: Cluster, sources: Sources, links: Links, reports: Reports, *, limits: Limits
) -> AsyncIterator[Plane]:
    """The plane of one namespace; what builds and servers say is brought to `reports` for as long as it is open."""
    ours, databases = Ours(), KubernetesDatabases(site, cluster)
    builders = Builders(site, cluster, databases)
    shipper = Shipper(cluster, reports)
    images = KubernetesImages(site, cluster, sources, links, shipper.put, limits=limits)
    servers = KubernetesServers(
        cluster, builders, Entrance(site.door), ours, images.exists, progress_seconds=site.progress_seconds
    )
    marked = MarkedDatabases(databases, ours)
    remedies = Remedies(
        cluster,
        builders,
        servers,
        marked,
        images,
        at,
        ours,
        stuck_seconds=site.stuck_seconds,
        progress_seconds=site.progress_seconds,
    )
    catalogue = databases.postgres.catalogue
    upkeep = KubernetesUpkeep(
        servers=ServerSight(cluster, builders, at, stuck_seconds=site.stuck_seconds),
        postgres=Asked(databases.postgres_facts),
        redis=Asked(databases.valkey_facts),
        exists=images.exists,
        remedies=remedies,
        watch=Watch(cluster, ours, catalogue=catalogue, memory=Remembered(cluster)).changes,
        survey=Survey(cluster, catalogue).pages,
        remove_orphan=Orphans(cluster, site.database.admin).remove,
    )
    shipping = asyncio.create_task(_ship(shipper), name="ship log lines")
    try:
        yield Plane(
            name=site.plane,
            images=MarkedImages(images, ours),
            databases=marked,
            servers=servers,
            upkeep=upkeep,
        )
    finally:
        shipping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await shipping
        await databases.close()


async def _ship(shipper: Shipper) -> None:
    """For ever; whatever ends it is told, and it begins again."""
    while True:
        try:
            await shipper.run()
        except Exception:
            log.exception("log shipping starts over")
        await asyncio.sleep(AGAIN)
