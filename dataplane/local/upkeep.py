"""Seeing all that a deployment has on this machine, and putting it right: who knows what, in one place.

A part that cannot be asked at the moment (Postgres restarts, supervisord is away) is not looked at: that is
no deployment's difference, and what is not looked at is not held against anybody.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

import structlog

from dataplane.flavours import flavour
from dataplane.images.whole import Bundles
from dataplane.local import doors
from dataplane.local.replica import AWAY
from dataplane.local.slots import Slots
from dataplane.plane import Tell
from workflows.accounts import Sighted
from workflows.drift import AS_WISHED, PRESENT, RUNNING, Fact, Field
from workflows.mending import Treatment
from workflows.shapes import Resource, Wish
from workflows.surveys import SurveyPage

log = structlog.get_logger()

OF_SERVERS = frozenset({Field.PROCESS})
OF_DOORS = frozenset({Field.ROUTE, Field.LINK})
OF_IMAGES = frozenset({Field.BUNDLE})
OF_POSTGRES = frozenset({Field.DATABASE, Field.ROLE})
OF_REDIS = frozenset({Field.REDIS})
OF_DATABASES = frozenset(
    {
        Field.DATABASE, Field.ROLE, Field.PASSWORD, Field.GRANTS, Field.CONNECTIONS, Field.EXTENSION,
        Field.REDIS, Field.REDIS_PASSWORD, Field.PERSISTENCE,
    }
)  # fmt: skip
WELL = (AS_WISHED, PRESENT, RUNNING)
LOOK_SECONDS = 15.0
"""Whoever takes longer than this to be looked at is as good as away."""


class Shown(Protocol):
    """A part of every deployment; raises when there is nobody to ask."""

    async def facts(self, wish: Wish) -> list[Fact]: ...


class Treats(Protocol):
    """Who does what can be done."""

    async def treat(self, wish: Wish, treatments: Sequence[Treatment], tell: Tell) -> None: ...


class LocalUpkeep:
    """`dataplane.plane.Upkeep` of one home."""

    def __init__(
        self,
        *,
        servers: Shown,
        postgres: Shown,
        redis: Shown,
        slots: Slots,
        bundles: Bundles,
        remedies: Treats,
        watch: Callable[[], AsyncIterator[set[UUID]]],
        survey: Callable[[], AsyncGenerator[SurveyPage, None]],
        remove_orphan: Callable[[Resource], Awaitable[None]],
    ) -> None:
        self._servers = servers
        self._postgres = postgres
        self._redis = redis
        self._slots = slots
        self._bundles = bundles
        self._remedies = remedies
        self._watch = watch
        self._survey = survey
        self._remove_orphan = remove_orphan

    async def sight(self, wish: Wish) -> Sighted:
        """Every part side by side; those that cannot be asked now are left out."""
        at = datetime.now(UTC)
        parts = {
            OF_SERVERS: asyncio.create_task(self._part(wish, self._servers.facts(wish))),
            OF_DOORS: asyncio.create_task(self._part(wish, self._doors(wish))),
            OF_IMAGES: asyncio.create_task(self._part(wish, self._images(wish))),
        }
        parts |= self._databases(wish)
        try:
            if await parts[OF_SERVERS] is None and OF_REDIS in parts:
                # Whoever supervises the one supervises the other.
                parts.pop(OF_REDIS).cancel()
            found = {fields: await part for fields, part in parts.items()}
            if AWAY in (fact.seen for fact in found[OF_SERVERS] or ()):
                # A replica takes its time to say so: what befell its databases meanwhile shows only now.
                again = {fields: part for fields, part in self._databases(wish).items() if fields in parts}
                parts |= again
                found |= {fields: await part for fields, part in again.items()}
        finally:
            for part in parts.values():
                part.cancel()
        looked = {field for fields, seen in found.items() if seen is not None for field in fields}
        facts = [fact for seen in found.values() if seen is not None for fact in seen]
        if None in found.values() or not _reachable(wish, facts):
            # Without its databases no server answers whole: that is theirs to be told of.
            facts = [one for one in facts if not (one.field is Field.ANSWER and one.seen == AWAY)]
        return Sighted(at=at, looked=sorted(looked), facts=facts)

    async def repair(self, wish: Wish, treatments: Sequence[Treatment], tell: Tell) -> None:
        """Each in turn."""
        await self._remedies.treat(wish, treatments, tell)

    async def observe_all(self) -> AsyncIterator[SurveyPage]:
        """Page by page; and one image is read to its last byte every time."""
        await asyncio.to_thread(self._bundles.read_next)
        async with contextlib.aclosing(self._survey()) as pages:
            async for page in pages:
                yield page

    def watch(self) -> AsyncIterator[set[UUID]]:
        return self._watch()

    async def remove_orphan(self, orphan: Resource) -> None:
        await self._remove_orphan(orphan)

    async def _part(self, wish: Wish, looking: Awaitable[list[Fact]]) -> list[Fact] | None:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                return await looking
        except Exception as error:  # whatever one part stumbles over, the others are seen
            log.warning("could not look", deployment=str(wish.deployment_id), error=type(error).__name__)
            return None

    def _databases(self, wish: Wish) -> dict[frozenset[Field], asyncio.Task[list[Fact] | None]]:
        """Those of them that are ours are looked at from now on."""
        parts: dict[frozenset[Field], asyncio.Task[list[Fact] | None]] = {}
        if flavour(wish.flavour).databases and not wish.custom_postgres:
            parts[OF_POSTGRES] = asyncio.create_task(self._part(wish, self._postgres.facts(wish)))
        if flavour(wish.flavour).databases and not wish.custom_redis:
            parts[OF_REDIS] = asyncio.create_task(self._part(wish, self._redis.facts(wish)))
        return parts

    async def _doors(self, wish: Wish) -> list[Fact]:
        return await asyncio.to_thread(lambda: [*doors.facts(self._slots, wish)])

    async def _images(self, wish: Wish) -> list[Fact]:
        if not wish.image:
            return []
        seen = await asyncio.to_thread(self._bundles.look, wish.image)
        return [Fact(field=Field.BUNDLE, name=wish.image, seen=seen)]


def _reachable(wish: Wish, facts: Sequence[Fact]) -> bool:
    """Whether nothing is wrong with its databases as far as anybody here can tell."""
    if wish.custom_postgres or wish.custom_redis:
        return False
    return all(one.seen in WELL for one in facts if one.field in OF_DATABASES)
