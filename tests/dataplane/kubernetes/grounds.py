"""A whole plane on a real cluster: a namespace with a Postgres that all deployments share, and sources handed out by
this machine. The namespace serves a whole module of tests; each test opens the plane anew, as a worker would that
has just started."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from dataplane.images.inflate import Limits
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.plane import kubernetes_plane
from dataplane.kubernetes.site import Database, Registry, Site
from dataplane.plane import Plane
from sealing import Keyring
from tests.cluster import PLANE, REGISTRY, SLIM, a_site, kubeconfig, namespaced
from tests.dataplane.kubernetes.databases import a_server
from tests.dataplane.kubernetes.images.conftest import HOST, Lender
from workflows.lines import Line, Taken
from workflows.shapes import Archive, SourceKind, Wish

LIMITS = Limits(packed=4 << 20, unpacked=64 << 20, files=300, ratio=200)


@dataclass(frozen=True)
class Place:
    """What is made once for many tests."""

    namespace: str
    keys: Path
    database: Database


@dataclass
class Heard:
    """Where lines arrive."""

    lines: list[Line] = field(default_factory=list)

    async def send(self, lines: Any) -> Taken:
        self.lines += lines
        return Taken(stored=len(lines))


@dataclass
class Grounds:
    """An open plane, and what its tests ask for."""

    plane: Plane
    cluster: Cluster
    site: Site
    lender: Lender
    heard: Heard

    def uploaded(self, archive: bytes) -> Archive:
        upload = uuid4()
        self.lender.archives[upload] = archive
        return Archive(upload_id=upload, sha256=hashlib.sha256(archive).hexdigest(), size=len(archive))

    def wish(
        self,
        deployment: UUID,
        archive: Archive | None,
        number: int = 1,
        environment: Mapping[str, str] | None = None,
    ) -> Wish:
        """One revision; passwords follow from the deployment's id."""
        ring, owner = Keyring.load(self.site.keys), str(deployment)
        return Wish(
            deployment_id=deployment,
            revision_id=UUID(int=deployment.int ^ number),
            number=number,
            name="agent",
            source=SourceKind.INTERNAL_SOURCE,
            archive=archive,
            environment=ring.seal_map(dict(environment or {}), owner),
            resources=SLIM.model_copy(update={"memory_mb": 512}),
            credentials=ring.seal_map({"postgres": f"Pg-{owner}", "redis": f"Re-{owner}"}, owner),
        )


@contextmanager
def placed() -> Iterator[Place]:
    """A namespace with its Postgres, for as long as a module lives."""
    kubeconfig()
    with asyncio.Runner() as runner, tempfile.TemporaryDirectory() as home:
        keys = Path(home) / "sealing.keys"
        Keyring.create(keys)
        space = namespaced("gy-plane")
        cluster = runner.run(space.__aenter__())
        try:
            server = a_server(cluster, keys)
            yield Place(cluster.namespace, keys, runner.run(server.__aenter__()))
            runner.run(server.__aexit__(None, None, None))
        finally:
            runner.run(space.__aexit__(None, None, None))


@asynccontextmanager
async def grounds(place: Place, **changes: object) -> AsyncIterator[Grounds]:
    """The plane of a place, open."""
    lender, heard = Lender(), Heard()
    server = await asyncio.start_server(lender.answer, "0.0.0.0", 0)
    port = server.sockets[0].getsockname()[1]
    cluster = await Cluster.connect(kubeconfig(), place.namespace, PLANE)
    site = a_site(
        place.namespace,
        place.keys,
        # Of its own, so that a collection takes nobody else's; and the same for all, so that one build does for all.
        registry=Registry(address=f"{REGISTRY}/contract", api=f"http://{REGISTRY}", insecure=True),
        database=place.database,
        builder_reaches=f"http://{HOST}:{port}",
        **changes,
    )
    try:
        async with server, kubernetes_plane(site, cluster, lender, lender, heard, limits=LIMITS) as plane:
            yield Grounds(plane, cluster, site, lender, heard)
    finally:
        await cluster.close()
