"""Seeing all that a deployment has on this machine, and putting it right: who knows what, in one place.

A part that cannot be asked at the moment (Postgres restarts, supervisord is away) is not looked at: that is
no deployment's difference, and what is not looked at is not held against anybody.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID

from dataplane.images.whole import Bundles
from dataplane.local import doors
from dataplane.local.replica import AWAY
from dataplane.local.slots import Slots
from dataplane.plane import Tell
from dataplane.sighting import OF_IMAGES, OF_REDIS, Look, Shown, Treats, sighted
from workflows.accounts import Sighted
from workflows.drift import Fact, Field
from workflows.mending import Treatment
from workflows.shapes import Resource, Wish
from workflows.surveys import SurveyPage

OF_SERVERS = frozenset({Field.PROCESS})
OF_DOORS = frozenset({Field.ROUTE, Field.LINK})


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
        self._look = Look(postgres, redis)
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
            OF_SERVERS: self._look.part(wish, self._servers.facts(wish)),
            OF_DOORS: self._look.part(wish, self._doors(wish)),
            OF_IMAGES: self._look.part(wish, self._images(wish)),
        }
        parts |= self._look.databases(wish)
        try:
            if await parts[OF_SERVERS] is None and OF_REDIS in parts:
                # Whoever supervises the one supervises the other.
                parts.pop(OF_REDIS).cancel()
            found = {fields: await part for fields, part in parts.items()}
            if AWAY in (fact.seen for fact in found[OF_SERVERS] or ()):
                # A replica takes its time to say so: what befell its databases meanwhile shows only now.
                again = {
                    fields: part for fields, part in self._look.databases(wish).items() if fields in parts
                }
                parts |= again
                found |= {fields: await part for fields, part in again.items()}
        finally:
            for part in parts.values():
                part.cancel()
        return sighted(at, wish, found, blind=None in found.values())

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

    async def _doors(self, wish: Wish) -> list[Fact]:
        return await asyncio.to_thread(lambda: [*doors.facts(self._slots, wish)])

    async def _images(self, wish: Wish) -> list[Fact]:
        if not wish.image:
            return []
        seen = await asyncio.to_thread(self._bundles.look, wish.image)
        return [Fact(field=Field.BUNDLE, name=wish.image, seen=seen)]
