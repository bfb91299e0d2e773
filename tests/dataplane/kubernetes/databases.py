"""What the tests of a cluster's databases share: wishes whose passwords can be found again, and a Postgres for all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.databases import KubernetesDatabases
from dataplane.kubernetes.dedicated import Dedicated
from dataplane.kubernetes.kinds import (
    NETWORK_POLICY,
    POD,
    SECRET,
    SERVICE,
    STATEFUL_SET,
    VOLUME_CLAIM,
    Manifest,
)
from dataplane.kubernetes.site import Database, PostgresMode, Site
from sealing import Keyring
from tests.cluster import SLIM, a_site
from tests.wishes import a_wish
from workflows.drift import Field, compare
from workflows.shapes import Wish

POSTGRES_WORD, REDIS_WORD = "Marker-Postgres/word", "Marker-Redis@word"
OF_POSTGRES = frozenset({Field.DATABASE, Field.ROLE})
OF_REDIS = frozenset({Field.REDIS})
EVERYTHING = (STATEFUL_SET, POD, SERVICE, SECRET, NETWORK_POLICY, VOLUME_CLAIM)


def wished(keys: Path, **fields: Any) -> Wish:
    """A wish whose credentials this keyring opens."""
    wish = a_wish(**{"resources": SLIM, **fields})
    passwords = {"postgres": POSTGRES_WORD, "redis": REDIS_WORD}
    sealed = Keyring.load(keys).seal_map(passwords, str(wish.deployment_id))
    return wish.model_copy(update={"credentials": sealed})


@dataclass
class Yard:
    """One plane's databases, and the cluster that they are on."""

    cluster: Cluster
    site: Site
    keys: Path
    databases: KubernetesDatabases

    def wish(self, **fields: Any) -> Wish:
        return wished(self.keys, **fields)

    async def differing(self, wish: Wish) -> dict[Field, str]:
        """What differs, by field, as upkeep would find it."""
        facts = [*await self.databases.valkey_facts(wish), *await self.databases.postgres_facts(wish)]
        return {one.field: one.seen for one in compare(wish, facts, OF_POSTGRES | OF_REDIS)}

    async def all(self) -> list[Manifest]:
        """Everything of ours in the namespace."""
        return [one for kind in EVERYTHING for one in await self.cluster.all(kind)]


@asynccontextmanager
async def yard(
    cluster: Cluster, keys: Path, database: Database | None = None, **changes: Any
) -> AsyncIterator[Yard]:
    """A plane that makes a server for each unless told otherwise."""
    chosen = database or Database(mode=PostgresMode.DEDICATED, storage_gi=1)
    site = a_site(cluster.namespace, keys, database=chosen, **changes)
    databases = KubernetesDatabases(site, cluster)
    try:
        yield Yard(cluster, site, keys, databases)
    finally:
        await databases.close()


@asynccontextmanager
async def a_server(cluster: Cluster, keys: Path) -> AsyncIterator[Database]:
    """A Postgres that somebody else keeps, for all of one plane to share; made the way we make them."""
    site = a_site(cluster.namespace, keys, database=Database(mode=PostgresMode.DEDICATED, storage_gi=1))
    somebody = wished(keys, name="somebody")
    admin = await Dedicated(site, cluster).provision(somebody)
    from dataplane.kubernetes import names

    host = f"{names.postgres(somebody.deployment_id)}.{cluster.namespace}.svc:5432"
    yield Database(admin=admin, host=host)


async def until(condition: Any, seconds: float = 60) -> None:
    """Until this coroutine function says so."""
    async with asyncio.timeout(seconds):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.1)
