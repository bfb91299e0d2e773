"""Seeing all that a deployment has on a cluster, and putting it right: who knows what, in one place.

The cluster's API is asked for everything that can be asked there; if it is away there is nothing to tell, and the
step is tried again. A part beside it that cannot be asked at the moment (Postgres, the registry) is not looked at.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID

from dataplane.kubernetes.trouble import Trouble
from dataplane.local.replica import AWAY
from dataplane.plane import Tell
from dataplane.sighting import (
    LOOK_SECONDS,
    OF_IMAGES,
    OF_POSTGRES,
    OF_REDIS,
    Fields,
    Look,
    Looks,
    Shown,
    Treats,
    sighted,
)
from workflows.accounts import Sighted
from workflows.drift import MISSING, WHOLE, Fact, Field
from workflows.mending import Treatment
from workflows.shapes import Resource, Wish
from workflows.surveys import SurveyPage

OF_SERVERS = frozenset({Field.PROCESS, Field.ROUTE, Field.LINK})


class KubernetesUpkeep:
    """`dataplane.plane.Upkeep` of one plane."""

    def __init__(
        self,
        *,
        servers: Shown,
        postgres: Shown,
        redis: Shown,
        exists: Callable[[Wish], Awaitable[bool]],
        remedies: Treats,
        watch: Callable[[], AsyncIterator[set[UUID]]],
        survey: Callable[[], AsyncIterator[SurveyPage]],
        remove_orphan: Callable[[Resource], Awaitable[None]],
    ) -> None:
        """`exists` tells whether the registry has a wish's image."""
        self._servers = servers
        self._look = Look(postgres, redis, fatal=(Trouble,))
        self._exists = exists
        self._remedies = remedies
        self._watch = watch
        self._survey = survey
        self._remove_orphan = remove_orphan

    async def sight(self, wish: Wish) -> Sighted:
        """Every part side by side."""
        at = datetime.now(UTC)
        parts: Looks = {
            OF_IMAGES: self._look.part(wish, self._images(wish)),
            **self._look.databases(wish),
        }
        found: dict[Fields, list[Fact] | None] = {}
        try:
            async with asyncio.timeout(2 * LOOK_SECONDS):
                found[OF_SERVERS] = await self._servers.facts(wish)
            found |= {fields: await part for fields, part in parts.items()}
            if AWAY in (fact.seen for fact in found[OF_SERVERS] or ()):
                # A replica takes its time to say so: what befell its databases meanwhile shows only now.
                parts |= (again := self._look.databases(wish))
                found |= {fields: await part for fields, part in again.items()}
        finally:
            for part in parts.values():
                part.cancel()
        blind = None in (found.get(OF_POSTGRES, []), found.get(OF_REDIS, []))
        return sighted(at, wish, found, blind=blind)

    async def repair(self, wish: Wish, treatments: Sequence[Treatment], tell: Tell) -> None:
        """Each in turn."""
        await self._remedies.treat(wish, treatments, tell)

    def observe_all(self) -> AsyncIterator[SurveyPage]:
        return self._survey()

    def watch(self) -> AsyncIterator[set[UUID]]:
        return self._watch()

    async def remove_orphan(self, orphan: Resource) -> None:
        await self._remove_orphan(orphan)

    async def _images(self, wish: Wish) -> list[Fact]:
        if not wish.image:
            return []
        seen = WHOLE if await self._exists(wish) else MISSING
        return [Fact(field=Field.BUNDLE, name=wish.image, seen=seen)]
