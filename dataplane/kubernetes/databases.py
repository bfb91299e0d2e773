"""Postgres and Valkey of one deployment on a cluster, as the plane's one port for databases."""

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime

from dataplane.flavours import flavour
from dataplane.kubernetes import postgres
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.dedicated import Dedicated
from dataplane.kubernetes.site import PostgresMode, Site
from dataplane.kubernetes.valkey import Valkeys
from dataplane.postgres.databases import Postgres
from workflows.drift import Fact
from workflows.shapes import Sighting, Wish


class KubernetesDatabases:
    """What a deployment keeps its state in, unless it brings its own."""

    def __init__(self, site: Site, cluster: Cluster) -> None:
        self.valkeys = Valkeys(site, cluster)
        self.postgres: postgres.Databases = (
            postgres.Shared(site)
            if site.database.mode is PostgresMode.SHARED
            else postgres.Own(site, Dedicated(site, cluster))
        )

    async def provision(self, wish: Wish) -> None:
        """Make what the wish needs of us, side by side."""
        if not flavour(wish.flavour).databases:
            return
        needed: list[Awaitable[None]] = []
        if not wish.custom_postgres:
            needed.append(self.postgres.provision(wish))
        if not wish.custom_redis:
            needed.append(self.valkeys.provision(wish))
        # Each to its end: a Valkey that is just being put right must not be left for what Postgres lacks.
        await _all(needed)

    async def remove(self, wish: Wish) -> None:
        """Take away both, also where the newest revision does not use them: an older one may have."""
        await _all([self.postgres.remove(wish), self.valkeys.remove(wish)])

    async def observe(self, wish: Wish) -> Sighting:
        """What exists of database, role and Redis. A volume that is kept is not left: it is kept."""
        found = await asyncio.gather(self.postgres.observe(wish), self.valkeys.observe(wish))
        return Sighting(
            deployment_id=wish.deployment_id, at=datetime.now(UTC), resources=[*found[0], *found[1]]
        )

    async def postgres_of(self, wish: Wish) -> Postgres:
        """The server to look with. Raises when it is not to be reached."""
        return await self.postgres.of(wish)

    async def postgres_facts(self, wish: Wish) -> list[Fact]:
        return await self.postgres.facts(wish)

    async def valkey_facts(self, wish: Wish) -> list[Fact]:
        return await self.valkeys.facts(wish)

    def postgres_uri(self, wish: Wish) -> str:
        """As pods reach it. Holds the password."""
        return self.postgres.uri(wish)

    def redis_uri(self, wish: Wish) -> str:
        """As pods reach it. Holds the password."""
        return self.valkeys.uri(wish)

    async def close(self) -> None:
        """Give back the connections that are kept for looking."""
        await self.postgres.close()


async def _all(steps: list[Awaitable[None]]) -> None:
    for end in await asyncio.gather(*steps, return_exceptions=True):
        if isinstance(end, BaseException):
            raise end
