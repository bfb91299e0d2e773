"""Replicas as pods of one Deployment for each revision, and the Service by which callers are led to one of them.

What exists is known from labels, so every verb may be repeated, and what a crash left behind is found by looking.
New pods run beside those that serve; a switch is one change of a selector.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Protocol

from dataplane.flavours import flavour
from dataplane.kubernetes import names as labels
from dataplane.kubernetes import processes
from dataplane.kubernetes.belongings import OF_SERVERS, gather
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.doors import leads
from dataplane.kubernetes.endings import AT_ONCE, GOING, Ending
from dataplane.kubernetes.entrance import Entrance
from dataplane.kubernetes.kinds import (
    DEPLOYMENT,
    HTTP_ROUTE,
    INGRESS,
    POD,
    SECRET,
    SERVICE,
    Kind,
    Manifest,
)
from dataplane.kubernetes.ours import Ours
from dataplane.kubernetes.readiness import Readiness
from dataplane.kubernetes.standing import led, number, numbers, replicas
from dataplane.local.replica import Replica
from dataplane.plane import Tell
from workflows import names
from workflows.causes import Code, Refused
from workflows.shapes import Resource, ResourceKind, Sighting, Wish

SETTLE = 3.0
"""Requests that were on their way when the selector changed arrive within this: endpoints and the nodes' rules
follow within two seconds."""
TICK = 1.0
"""Seconds between two looks at what is going: each is asked of the API."""
DOOR_KINDS = (INGRESS, HTTP_ROUTE, SERVICE)


class Builders(Protocol):
    """What we would apply for a wish."""

    async def revision(self, wish: Wish) -> list[Manifest]: ...

    async def door(self, wish: Wish) -> list[Manifest]: ...

    async def secrets(self, wish: Wish) -> frozenset[str]: ...

    async def token(self, wish: Wish) -> str: ...


class KubernetesServers:
    """The servers of one plane. `exists` says whether the registry has a wish's image."""

    def __init__(
        self,
        cluster: Cluster,
        builders: Builders,
        entrance: Entrance,
        ours: Ours,
        exists: Callable[[Wish], Awaitable[bool]],
        *,
        progress_seconds: float,
        settle: float = SETTLE,
    ) -> None:
        self._cluster = cluster
        self._builders = builders
        self._entrance = entrance
        self._ours = ours
        self._exists = exists
        self._progress_seconds = progress_seconds
        self._settle = settle

    async def apply(self, wish: Wish) -> None:
        """Have the wish's objects as they should be; pods that are so already are left alone."""
        if wish.image is None or not await self._exists(wish):
            raise Refused(
                Code.IMAGE_GONE,
                f"The registry has no image {wish.image}.",
                "Deploy the source again, or push the image again.",
            )
        with self._ours.during(wish.deployment_id):
            for manifest in await self._builders.revision(wish):
                await self._cluster.apply(manifest)

    async def until_ready(self, wish: Wish, tell: Tell) -> None:
        """Wait for every pod, while there is progress; variables of an earlier try go once none needs them."""
        secrets = await self._builders.secrets(wish)
        with self._ours.during(wish.deployment_id):
            await Readiness(
                self._cluster, wish, secrets, progress_seconds=self._progress_seconds, tell=tell
            ).wait()
            await self._prune(wish)

    async def prove(self, wish: Wish) -> None:
        """Show on every pod that it is what it should be."""
        token, chosen = await self._builders.token(wish), flavour(wish.flavour)
        pods = processes.living(await self._of(POD, wish))
        if len(pods) < wish.replicas:
            raise LookupError(f"{len(pods)} pods of {wish.replicas} are there to be proved")
        # Which graphs were declared lies in the image: the replica names them, and each has to answer.
        await asyncio.gather(*(replica(wish, pod).prove(chosen, [], token) for pod in pods))

    async def switch(self, wish: Wish) -> None:
        """Lead callers here, and look from the outside; where that fails, what served before serves again."""
        with self._ours.during(wish.deployment_id):
            before, door = await self._serving(wish), await self._builders.door(wish)
            for manifest in door:
                await self._cluster.apply(manifest)
            try:
                await self._entrance.until_open(wish)
            except Refused:
                await self._lead_back(wish, before)
                raise
            await self._shut(wish, door)

    async def retire(self, wish: Wish, tell: Tell) -> None:
        """Drain and end all pods of older revisions, side by side."""
        with self._ours.during(wish.deployment_id):
            found = await gather(self._cluster, wish.deployment_id)
            old = sorted({which for which in numbers(found) if which < wish.number})
            if not old:
                return
            tell(f"draining revisions {', '.join(map(str, old))}")
            await asyncio.sleep(self._settle)
            await self._end(wish, old, tell)
            tell("all older replicas are gone")

    async def discard(self, wish: Wish) -> None:
        """End this revision's pods; they never served, so nothing is waited for."""
        with self._ours.during(wish.deployment_id):
            if await self._serving(wish) == wish.number:
                await self._close(wish)
            await self._end(wish, [wish.number], lambda said: None, grace=AT_ONCE)

    async def remove(self, wish: Wish) -> None:
        """End everything of the deployment, the door first, and return once nothing is left."""
        with self._ours.during(wish.deployment_id):
            await self._close(wish)
            found = await gather(self._cluster, wish.deployment_id)
            await self._end(wish, sorted({*numbers(found), wish.number}), lambda said: None, grace=AT_ONCE)
            served = await self._cluster.served()
            kinds = [kind for kind in OF_SERVERS if served.has(kind) and kind is not POD]
            async with asyncio.timeout(GOING):
                while left := [one async for one in self._left(wish, kinds)]:
                    for kind, one in left:
                        await self._cluster.delete(kind, one["metadata"]["name"])
                    await asyncio.sleep(TICK)

    async def observe(self, wish: Wish) -> Sighting:
        """Pods by the slots they fill, and where callers are led."""
        found = await gather(self._cluster, wish.deployment_id)
        there = list(replicas(wish, found))
        resources = [Resource(kind=ResourceKind.PROCESS, name=one.name) for one in there]
        resources += [
            Resource(kind=ResourceKind.PROCESS, name=names.server(wish.deployment_id, which, 0))
            for which in sorted(numbers(found) - {one.revision for one in there})
        ]
        if any(True for kind in DOOR_KINDS for _ in found.of(kind, role="server")):
            slug = names.slug(wish.name, wish.deployment_id)
            resources.append(Resource(kind=ResourceKind.ROUTE, name=slug))
        return Sighting(
            deployment_id=wish.deployment_id,
            at=datetime.now(UTC),
            replicas=there,
            serving=led(wish, found),
            resources=resources,
        )

    async def _serving(self, wish: Wish) -> int | None:
        service = await self._cluster.get(SERVICE, labels.agent(wish))
        if service is None or not self._cluster.is_ours(service):
            return None
        return number(leads(service, names.short(wish.deployment_id)))

    async def _close(self, wish: Wish) -> None:
        served = await self._cluster.served()
        wanted = labels.of_deployment(self._cluster.plane, wish.deployment_id)
        for kind in DOOR_KINDS:
            if served.has(kind):
                for one in await self._cluster.all(kind, {**wanted, labels.ROLE: "server"}):
                    await self._cluster.delete(kind, one["metadata"]["name"])

    async def _shut(self, wish: Wish, door: Iterable[Manifest]) -> None:
        """Doors of another kind, or of names that were given up."""
        wanted = {(one["kind"], one["metadata"]["name"]) for one in door}
        found = await gather(self._cluster, wish.deployment_id)
        for kind in (INGRESS, HTTP_ROUTE):
            for one in list(found.of(kind, role="server")):
                if (kind.name, name := one["metadata"]["name"]) not in wanted:
                    await self._cluster.delete(kind, name)

    async def _lead_back(self, wish: Wish, before: int | None) -> None:
        """What served before serves again, if it is still there."""
        if before == wish.number:
            return
        old = (
            await self._cluster.get(DEPLOYMENT, labels.server(wish.deployment_id, before)) if before else None
        )
        if old is not None:
            for manifest in await self._builders.door(wish.model_copy(update={"number": before})):
                await self._cluster.apply(manifest)
        else:
            await self._close(wish)

    async def _end(self, wish: Wish, which: Iterable[int], tell: Tell, *, grace: int | None = None) -> None:
        await Ending(self._cluster, wish.deployment_id, [*which], grace=grace).come(tell)

    async def _of(self, kind: Kind, wish: Wish) -> list[Manifest]:
        wanted = {**labels.of_revision(self._cluster.plane, wish), labels.ROLE: "server"}
        return await self._cluster.all(kind, wanted)

    async def _prune(self, wish: Wish) -> None:
        """Secrets that no manifest of this revision names any more."""
        wanted = {
            one["metadata"]["name"]
            for one in await self._builders.revision(wish)
            if one["kind"] == SECRET.name
        }
        for secret in await self._cluster.all(SECRET, labels.of_revision(self._cluster.plane, wish)):
            if secret["metadata"]["name"] not in wanted:
                await self._cluster.delete(SECRET, secret["metadata"]["name"])

    async def _left(self, wish: Wish, kinds: Iterable[Kind]) -> AsyncIterator[tuple[Kind, Manifest]]:
        wanted = {**labels.of_deployment(self._cluster.plane, wish.deployment_id), labels.ROLE: "server"}
        for kind in kinds:
            for one in await self._cluster.all(kind, wanted):
                yield kind, one


def replica(wish: Wish, pod: Manifest) -> Replica:
    """A pod as one that can be asked; one without an address yet is asked in vain."""
    return at(wish, processes.address(pod) or "0.0.0.0")  # noqa: S104 - nobody listens there


def at(wish: Wish, address: str) -> Replica:
    """The server of a wish at an address."""
    return Replica(
        labels.server(wish.deployment_id, wish.number),
        None,
        wish.number,
        address=f"http://{address}:{labels.PORT}",
        named=flavour(wish.flavour).entry,
    )
