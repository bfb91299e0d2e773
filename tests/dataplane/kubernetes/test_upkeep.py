"""The cluster's plane keeps every promise of being seen and put right: with its own builders, servers and databases,
and a stand-in for the image of its servers."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from psycopg import AsyncConnection

from dataplane.flavours import flavour
from dataplane.kubernetes.builders import Builders
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.databases import KubernetesDatabases
from dataplane.kubernetes.entrance import Entrance
from dataplane.kubernetes.kinds import SECRET, STATEFUL_SET
from dataplane.kubernetes.orphans import Orphans
from dataplane.kubernetes.ours import Ours
from dataplane.kubernetes.remedies import Remedies
from dataplane.kubernetes.remembered import Remembered
from dataplane.kubernetes.servers import KubernetesServers, at
from dataplane.kubernetes.sight import ServerSight
from dataplane.kubernetes.site import Database
from dataplane.kubernetes.survey import Survey
from dataplane.kubernetes.upkeep import KubernetesUpkeep
from dataplane.kubernetes.watch import Watch
from dataplane.plane import Plane, Tell
from sealing import Keyring
from tests.cluster import PLANE, REGISTRY, SLIM, a_site
from tests.dataplane.contract import MakeWish, UpkeepContract, differences, mended, serving
from tests.dataplane.kubernetes.standin import REPOSITORY, pushed
from tests.wishes import a_wish
from workflows import names
from workflows.drift import Fact, Field
from workflows.shapes import Flavour, Image, Plan, Sighting, Wish

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]


class Found:
    """Images that somebody else built: one."""

    def __init__(self, digest: str) -> None:
        self._digest = digest

    async def preflight(self, wish: Wish) -> Plan:
        return Plan(source_digest="", python="3.11", graphs=["echo"])

    async def build(self, wish: Wish, tell: Tell) -> Image:
        made = {
            "source_digest": "",
            "lock_digest": "",
            "server": "",
            "builder": "",
            "python": "3.11",
            "size": 1,
        }
        return Image(digest=self._digest, **made)

    async def collect(self, keep: set[str]) -> int:
        return 0

    async def exists(self, wish: Wish) -> bool:
        return wish.image == self._digest


class Marked:
    """The databases, with every change marked as our own doing."""

    def __init__(self, databases: KubernetesDatabases, ours: Ours) -> None:
        self._databases = databases
        self._ours = ours

    async def provision(self, wish: Wish) -> None:
        with self._ours.during(wish.deployment_id):
            await self._databases.provision(wish)
            # A server fills its database when it starts; the stand-in does not.
            uri = self._databases.postgres_uri(wish)
            async with await AsyncConnection.connect(uri, autocommit=True) as connection:
                await connection.execute("create table if not exists filled (id int)")

    async def remove(self, wish: Wish) -> None:
        with self._ours.during(wish.deployment_id):
            await self._databases.remove(wish)

    async def observe(self, wish: Wish) -> Sighting:
        return await self._databases.observe(wish)


class Part:
    """One part of a deployment, as the databases show it."""

    def __init__(self, databases: KubernetesDatabases, of: str) -> None:
        self._databases, self._of = databases, of

    async def facts(self, wish: Wish) -> list[Fact]:
        if self._of == "postgres":
            return await self._databases.postgres_facts(wish)
        return await self._databases.valkey_facts(wish)


@pytest.fixture
async def plane(cluster: Cluster, keys: Path, postgres_admin_dsn: str) -> AsyncIterator[Plane]:
    database = Database(admin=postgres_admin_dsn)
    site = a_site(cluster.namespace, keys, drain_seconds=1.0, stuck_seconds=5.0, database=database)
    ours, databases, images = Ours(), KubernetesDatabases(site, cluster), Found(await pushed())
    builders = Builders(site, cluster, databases)
    servers = KubernetesServers(
        cluster, builders, Entrance(site.door), ours, images.exists, progress_seconds=30, settle=2
    )
    marked, catalogue = Marked(databases, ours), databases.postgres.catalogue
    remedies = Remedies(
        cluster, builders, servers, marked, images, at, ours, stuck_seconds=5, progress_seconds=30
    )
    upkeep = KubernetesUpkeep(
        servers=ServerSight(cluster, builders, at, stuck_seconds=5),
        postgres=Part(databases, "postgres"),
        redis=Part(databases, "redis"),
        exists=images.exists,
        remedies=remedies,
        watch=Watch(cluster, ours, catalogue=catalogue, memory=Remembered(cluster)).changes,
        survey=Survey(cluster, catalogue).pages,
        remove_orphan=Orphans(cluster, postgres_admin_dsn).remove,
    )
    yield Plane(name=PLANE, images=images, databases=marked, servers=servers, upkeep=upkeep)
    await databases.close()


@pytest.fixture
def make_wish(keys: Path) -> MakeWish:
    first = a_wish()
    ring, owner = Keyring.load(keys), str(first.deployment_id)

    def make(number: int = 1, **changes: object) -> Wish:
        values = {"STANDIN_VERSION": flavour(Flavour.PG).version, "PASSWORD": "hunter2-hunter2"}
        fields: dict[str, object] = {
            "deployment_id": first.deployment_id,
            "number": number,
            "source": "external_docker",
            "image_uri": f"{REGISTRY}/{REPOSITORY}:any",
            "environment": ring.seal_map(values, owner),
            "credentials": ring.seal_map({"postgres": "pg-secret", "redis": "redis-secret"}, owner),
            "resources": SLIM,
        }
        return a_wish(**{**fields, **changes})

    return make


class TestUpkeep(UpkeepContract):
    """What any plane promises of seeing itself and being put right."""


@pytest.mark.parametrize("kind", [STATEFUL_SET, SECRET], ids=lambda kind: kind.name)
async def test_a_valkey_that_is_taken_apart_is_made_again(
    plane: Plane, make_wish: MakeWish, cluster: Cluster, kind: object
) -> None:
    async with serving(plane, make_wish()) as wish:
        place = STATEFUL_SET if kind is STATEFUL_SET else SECRET
        await cluster.delete(place, names.redis(wish.deployment_id))
        found = {one.field for one in await differences(plane, wish)}
        assert found & {Field.REDIS, Field.PERSISTENCE}
        await mended(plane, wish)
