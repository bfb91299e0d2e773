"""The planes there are, built from settings: the one place that knows what each is made of."""

import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx

from activities.plane.reports import HttpLinks, HttpReports, HttpSources, Reports, ship
from cluster_settings import KubernetesSettings
from dataplane.images.inflate import Limits
from dataplane.kubernetes.site import Database, Door, Images, Registry, Site
from dataplane.plane import Plane, Sources
from sealing import Keyring
from settings import Settings
from worker.beside import beside
from worker.patience import until_reached
from workflows.shapes import PlaneKind


def of(settings: Settings, keyring: Keyring, api: httpx.AsyncClient) -> AbstractAsyncContextManager[Plane]:
    """The plane that the settings speak of, with its log lines on their way to the api for as long as it is there."""
    if settings.plane_kind is PlaneKind.KUBERNETES:
        return kubernetes(settings, KubernetesSettings(), api)
    return local(settings, keyring, HttpSources(api), HttpReports(api))


@asynccontextmanager
async def local(
    settings: Settings, keyring: Keyring, sources: Sources, reports: Reports
) -> AsyncIterator[Plane]:
    """This machine."""
    from dataplane.images.bundles import BundleImages
    from dataplane.local.logs import Tailer
    from dataplane.local.plane import local_plane

    plane = local_plane(
        name=settings.plane,
        home=settings.home,
        keys=settings.sealing_keys,
        postgres_admin=settings.plane_postgres_admin.get_secret_value(),
        public_url=settings.public_url,
        images=BundleImages(settings.home, sources, keyring, limits(settings)),
        progress_seconds=settings.progress_seconds,
        drain_seconds=settings.drain_seconds,
        stuck_seconds=settings.stuck_seconds,
        valkey=os.environ.get("VALKEY_BIN"),
    )
    tailer = Tailer(settings.home / "logs", settings.home / "data" / "shipped.json")
    async with beside(ship(tailer, reports), "ship log lines"):
        yield plane


@asynccontextmanager
async def kubernetes(
    settings: Settings, cluster_settings: KubernetesSettings, api: httpx.AsyncClient
) -> AsyncIterator[Plane]:
    """A namespace of a cluster; one that is away is waited for."""
    from dataplane.kubernetes.cluster import Cluster
    from dataplane.kubernetes.plane import kubernetes_plane

    where = site(settings, cluster_settings)
    cluster = await Cluster.connect(where.kubeconfig, where.namespace, where.plane)
    try:
        await until_reached("the cluster", cluster.served)
        async with kubernetes_plane(
            where, cluster, HttpSources(api), HttpLinks(api), HttpReports(api), limits=limits(settings)
        ) as plane:
            yield plane
    finally:
        await cluster.close()


def limits(settings: Settings) -> Limits:
    """How large an archive may be."""
    return Limits(
        packed=settings.upload_bytes,
        unpacked=settings.unpacked_bytes,
        files=settings.unpacked_files,
        ratio=settings.unpacked_ratio,
    )


def site(settings: Settings, cluster: KubernetesSettings) -> Site:
    """What the plane's own code knows of all this."""
    return Site(
        plane=settings.plane,
        namespace=cluster.namespace,
        build_namespace=cluster.build_namespace or cluster.namespace,
        kubeconfig=cluster.kubeconfig,
        keys=settings.sealing_keys,
        registry=Registry(
            address=cluster.registry_address,
            api=cluster.registry_api or _api_of(cluster),
            username=cluster.registry_username,
            password=cluster.registry_password.get_secret_value(),
            insecure=cluster.registry_insecure,
            pull_secret=cluster.registry_pull_secret,
        ),
        images=Images(
            server=dict(cluster.server_images),
            node_server=cluster.node_server_image,
            builder=cluster.builder_image,
            postgres=cluster.postgres_image,
            valkey=cluster.valkey_image,
        ),
        database=Database(
            mode=cluster.database_mode,
            admin=cluster.database_admin.get_secret_value(),
            host=cluster.database_host,
            storage_gi=cluster.database_storage_gi,
            storage_class=cluster.database_storage_class,
            instances=cluster.database_instances,
            backup=dict(cluster.database_backup),
        ),
        door=Door(
            public_url=settings.public_url.rstrip("/"),
            ingress_class=cluster.ingress_class,
            annotations=dict(cluster.door_annotations),
            tls_secret=cluster.tls_secret,
            gateway=cluster.gateway,
            address=cluster.door_address,
            sources=cluster.door_sources,
            open_egress=cluster.open_egress,
        ),
        progress_seconds=settings.progress_seconds,
        drain_seconds=settings.drain_seconds,
        stuck_seconds=settings.stuck_seconds,
        build_seconds=cluster.build_seconds,
        build_resources=dict(cluster.build_resources),
        build_cache=cluster.build_cache,
        builder_reaches=(cluster.builder_reaches or settings.api_url).rstrip("/"),
        builders_trust=settings.api_ca.read_text() if settings.api_ca else "",
        host_network_builds=cluster.host_network_builds,
    )


def _api_of(cluster: KubernetesSettings) -> str:
    scheme = "http" if cluster.registry_insecure else "https"
    host = cluster.registry_address.partition("/")[0]
    return f"{scheme}://{host}" if host else ""
