"""The plane steps over a plane's ports: each a call, kept alive by heartbeats, with failures told."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from temporalio import activity

from activities.failures import PATIENCE, told
from activities.heartbeat import heartbeat
from activities.plane.follow import HOUR, Notify, follow
from activities.plane.survey import Surveys, survey
from dataplane.plane import Plane, Tell
from workflows.accounts import Sighted
from workflows.mending import Repair
from workflows.shapes import Image, Keep, Plan, Removed, Swept, Wish
from workflows.steps import PlaneSteps


class PortSteps(PlaneSteps):
    """The steps of one plane. `surveys` is who judges what it has, `notify` tells a deployment's workflow
    that something changed; a watch ends by itself after `shift`."""

    def __init__(
        self,
        plane: Plane,
        *,
        surveys: Surveys,
        notify: Notify,
        patience: timedelta = PATIENCE,
        shift: timedelta = HOUR,
    ) -> None:
        self._plane = plane
        self._surveys = surveys
        self._notify = notify
        self._patience = patience
        self._shift = shift

    @activity.defn
    async def preflight(self, wish: Wish) -> Plan:
        async with self._step():
            return await self._plane.images.preflight(wish)

    @activity.defn
    async def build(self, wish: Wish) -> Image:
        async with self._step() as tell:
            return await self._plane.images.build(wish, tell)

    @activity.defn
    async def provision(self, wish: Wish) -> None:
        async with self._step():
            await self._plane.databases.provision(wish)

    @activity.defn
    async def apply(self, wish: Wish) -> None:
        async with self._step():
            await self._plane.servers.apply(wish)

    @activity.defn
    async def await_ready(self, wish: Wish) -> None:
        async with self._step() as tell:
            await self._plane.servers.until_ready(wish, tell)

    @activity.defn
    async def prove(self, wish: Wish) -> None:
        async with self._step():
            await self._plane.servers.prove(wish)

    @activity.defn
    async def switch(self, wish: Wish) -> None:
        async with self._step():
            await self._plane.servers.switch(wish)

    @activity.defn
    async def retire(self, wish: Wish) -> None:
        async with self._cleaning() as tell:
            await self._plane.servers.retire(wish, tell)

    @activity.defn
    async def discard(self, wish: Wish) -> None:
        async with self._cleaning():
            await self._plane.servers.discard(wish)

    @activity.defn
    async def remove(self, wish: Wish) -> Removed:
        """Servers first: whoever still ran would miss its databases."""
        async with self._cleaning() as tell:
            tell("ending servers, closing the gateway")
            await self._plane.servers.remove(wish)
            tell("dropping databases")
            await self._plane.databases.remove(wish)
            tell("looking")
            seen = [await self._plane.servers.observe(wish), await self._plane.databases.observe(wish)]
        return Removed(
            deployment_id=wish.deployment_id, left=[left for sighting in seen for left in sighting.resources]
        )

    @activity.defn
    async def collect_images(self, keep: Keep) -> int:
        async with self._cleaning():
            return await self._plane.images.collect(set(keep.digests))

    @activity.defn
    async def sight(self, wish: Wish) -> Sighted:
        async with self._step():
            return await self._plane.upkeep.sight(wish)

    @activity.defn
    async def repair(self, repair: Repair) -> None:
        async with self._step() as tell:
            await self._plane.upkeep.repair(repair.wish, repair.treatments, tell)

    @activity.defn
    async def survey(self, plane: str) -> Swept:
        async with self._cleaning() as tell:
            return await survey(plane, self._plane.upkeep, self._surveys, tell)

    @activity.defn
    async def watch(self, plane: str) -> None:
        async with self._cleaning() as tell:
            await unless_leaving(follow(self._plane.upkeep, self._notify, self._shift, tell))

    @asynccontextmanager
    async def _step(self) -> AsyncIterator[Tell]:
        with told(self._patience):
            async with heartbeat() as tell:
                yield tell

    @asynccontextmanager
    async def _cleaning(self) -> AsyncIterator[Tell]:
        """What cleans up has no right to give up."""
        with told(None):
            async with heartbeat() as tell:
                yield tell


async def unless_leaving(story: Coroutine[Any, Any, None]) -> None:
    """Something without an end of its own ends with its worker: nobody should have to wait for it then."""
    working = asyncio.create_task(story)
    leaving = asyncio.create_task(activity.wait_for_worker_shutdown())
    try:
        await asyncio.wait([working, leaving], return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.wait([working, leaving])
