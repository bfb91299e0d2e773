"""Postgres and Redis of one deployment, as the plane's one port for databases."""

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime

from dataplane.flavours import flavour
from dataplane.local.ours import Ours
from dataplane.local.redis import Redis
from dataplane.postgres.databases import Postgres
from workflows.shapes import Sighting, Wish


class LocalDatabases:
    """What a deployment keeps its state in, unless it brings its own."""

    def __init__(self, postgres: Postgres, redis: Redis, ours: Ours) -> None:
        self._postgres = postgres
        self._redis = redis
        self._ours = ours

    async def provision(self, wish: Wish) -> None:
        """Make what the wish needs of us, side by side."""
        if not flavour(wish.flavour).databases:
            return
        needed: list[Awaitable[None]] = []
        if not wish.custom_postgres:
            needed.append(self._postgres.provision(wish))
        if not wish.custom_redis:
            needed.append(self._redis.provision(wish))
        with self._ours.during(wish.deployment_id):
            # Each to its end: a Valkey that is just being restarted must not be left for what Postgres lacks.
            ends = await asyncio.gather(*needed, return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException):
                raise end

    async def remove(self, wish: Wish) -> None:
        """Take away both, also where the newest revision does not use them: an older one may have."""
        with self._ours.during(wish.deployment_id):
            await self._postgres.remove(wish)
            await self._redis.remove(wish)

    async def observe(self, wish: Wish) -> Sighting:
        resources = [*await self._postgres.observe(wish), *await self._redis.observe(wish)]
        return Sighting(deployment_id=wish.deployment_id, at=datetime.now(UTC), resources=resources)
