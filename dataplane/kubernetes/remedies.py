"""What can be done for one deployment of a cluster without a new revision, each no more than it must be.

Most of what befalls pods the cluster heals itself; we put back what it was told, and wait. A pod that is well is
never deleted for what ails another, and a node that is cordoned or drained is not argued with: what finds no place
waits for one, and what serves goes on serving.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from dataplane.flavours import flavour
from dataplane.kubernetes import names as labels
from dataplane.kubernetes import processes
from dataplane.kubernetes.belongings import gather
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.eviction import evict
from dataplane.kubernetes.fitting import AGAIN, Fitting
from dataplane.kubernetes.kinds import DEPLOYMENT, POD, SERVICE, Manifest, ending
from dataplane.kubernetes.sight import Builders, Replica
from dataplane.kubernetes.standing import led_to
from dataplane.local.replica import AWAY
from dataplane.plane import Databases, Images, Tell
from workflows import names
from workflows.causes import Code, Refused
from workflows.drift import ANSWERS, RUNNING
from workflows.mending import Remedy, Treatment
from workflows.shapes import Wish

HUNG_SECONDS = 3
"""For one that does not answer: whatever it could still save, it saves at once or never."""
RESTARTED = "graphyard.dev/restarted-at"


class Servers(Protocol):
    """The part of the servers' port that helps."""

    async def apply(self, wish: Wish) -> None: ...

    async def until_ready(self, wish: Wish, tell: Tell) -> None: ...

    async def discard(self, wish: Wish) -> None: ...


class Marks(Protocol):
    """Who knows what is our own doing."""

    def during(self, deployment_id: UUID) -> AbstractContextManager[None]: ...


class Remedies:
    """The remedies of one plane."""

    def __init__(
        self,
        cluster: Cluster,
        builders: Builders,
        servers: Servers,
        databases: Databases,
        images: Images,
        replica: Callable[[Wish, str], Replica],
        ours: Marks,
        *,
        stuck_seconds: float,
        progress_seconds: float,
    ) -> None:
        self._cluster = cluster
        self._builders = builders
        self._servers = servers
        self._databases = databases
        self._images = images
        self._replica = replica
        self._ours = ours
        self._fitting = Fitting(cluster, builders, progress_seconds)
        self._stuck_seconds = stuck_seconds
        self._progress_seconds = progress_seconds

    async def treat(self, wish: Wish, treatments: Sequence[Treatment], tell: Tell) -> None:
        """Each in turn."""
        with self._ours.during(wish.deployment_id):
            for treatment in treatments:
                tell(treatment.remedy)
                await self._treat(wish, treatment, tell)

    async def _treat(self, wish: Wish, treatment: Treatment, tell: Tell) -> None:
        match treatment.remedy:
            case Remedy.AWAIT:
                await self._await(wish, treatment.targets, tell)
            case Remedy.RELINK:
                await self._relink(wish)
            case Remedy.WAKE:
                # Nothing here is ever told to be suspended.
                await self._await(wish, treatment.targets, tell)
            case Remedy.PROVISION:
                await self._databases.provision(wish)
            case Remedy.END:
                await self._end(wish, treatment.targets, tell)
            case Remedy.FIT:
                if _indexes(wish, treatment.targets):
                    await self._fit(wish, tell)
            case Remedy.REBUILD:
                await self._rebuild(wish, tell)
            case Remedy.RESTART:
                await self._restart(wish, treatment.targets, tell)

    # -- as wished, and running ----------------------------------------------------

    async def _fit(self, wish: Wish, tell: Tell) -> None:
        found = await self._fitting.whole(wish)
        stale = await self._fitting.stale(wish, found)
        await self._fitting.cleanse(await self._builders.revision(wish), found)
        await self._servers.apply(wish)
        await self._servers.until_ready(wish, tell)
        await self._fitting.settled(wish, tell)
        for name in stale:
            await self._replace(wish, name, tell)

    async def _await(self, wish: Wish, targets: Collection[str], tell: Tell) -> None:
        indexes = _indexes(wish, targets)
        if not indexes:
            return
        deadline = time.monotonic() + self._stuck_seconds
        while silent := await self._silent(wish, indexes):
            tell(f"{', '.join(silent)} takes requests and answers none")
            if time.monotonic() > deadline:
                raise Refused(
                    Code.NO_PROGRESS, f"{silent[0]} has answered nothing for {self._stuck_seconds:.0f} s."
                )
        await self._servers.until_ready(wish, tell)
        await self._fitting.settled(wish, tell)

    async def _silent(self, wish: Wish, indexes: Collection[int]) -> list[str]:
        """Which of these run and do not answer; code that blocks comes to an end most often."""
        pods = processes.living(await self._pods(wish))
        running = {
            index: address
            for index, pod in enumerate(pods)
            if index in indexes
            and processes.state(pod).seen == RUNNING
            and (address := processes.address(pod))
        }
        asked = [self._replica(wish, address).health(flavour(wish.flavour)) for address in running.values()]
        said = await asyncio.gather(*asked)
        return [
            names.server(wish.deployment_id, wish.number, index)
            for index, told in zip(running, said, strict=True)
            if told not in (ANSWERS, AWAY)
        ]

    # -- begun again, or ended -----------------------------------------------------

    async def _restart(self, wish: Wish, targets: Collection[str], tell: Tell) -> None:
        """Those that are ill are replaced one after another; for all of them, the cluster does it by itself,
        each new one up before an old one goes."""
        indexes = _indexes(wish, targets)
        if not indexes:
            return
        found = await self._fitting.whole(wish)
        await self._fitting.cleanse(await self._builders.revision(wish), found)
        await self._servers.apply(wish)
        slots = processes.living(await self._pods(wish))
        chosen = [pod for index, pod in enumerate(slots) if index in indexes]
        if not targets and all(processes.ready(pod) for pod in chosen):
            await self._roll(wish, tell)
            return
        # Those that are ill first: until they are back, the others have all the work.
        for pod in sorted(chosen, key=processes.ready):
            await self._replace(wish, pod["metadata"]["name"], tell)
        await self._servers.until_ready(wish, tell)
        await self._fitting.settled(wish, tell)

    async def _roll(self, wish: Wish, tell: Tell) -> None:
        before = {pod["metadata"]["uid"] for pod in processes.living(await self._pods(wish))}
        annotations = {RESTARTED: datetime.now(UTC).isoformat(timespec="seconds")}
        patch = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
        await self._cluster.merge(DEPLOYMENT, labels.server(wish.deployment_id, wish.number), patch)
        deadline = time.monotonic() + self._progress_seconds * max(1, wish.replicas)
        while before & {pod["metadata"]["uid"] for pod in processes.living(await self._pods(wish))}:
            tell("replacing servers one after another")
            if time.monotonic() > deadline:
                raise Refused(
                    Code.NO_PROGRESS,
                    "The servers could not be replaced: a new one does not come up. The old ones go on.",
                )
            await asyncio.sleep(AGAIN)
        await self._servers.until_ready(wish, tell)
        await self._fitting.settled(wish, tell)

    async def _replace(self, wish: Wish, name: str, tell: Tell) -> None:
        pod = await self._cluster.get(POD, name)
        if pod is None or ending(pod):
            return
        tell(f"ending {name}")
        address = processes.address(pod)
        answers = address is not None and processes.ready(pod)
        if answers and address is not None:
            answers = await self._replica(wish, address).health(flavour(wish.flavour)) == ANSWERS
        if answers:
            await evict(self._cluster, name, tell, self._progress_seconds)
        else:
            await self._cluster.delete(POD, name, grace=HUNG_SECONDS)
        await self._servers.until_ready(wish, tell)
        await self._fitting.settled(wish, tell)

    async def _end(self, wish: Wish, targets: Collection[str], tell: Tell) -> None:
        """Those named, unless this revision wants them: they were named while no rollout was under way."""
        wished = {names.server(wish.deployment_id, wish.number, index) for index in range(wish.replicas)}
        numbers = {int(name.split("-")[2]) for name in targets if name not in wished}
        for number in sorted(numbers):
            if number == wish.number:
                await self._servers.apply(wish)
                await self._fitting.settled(wish, tell)
            else:
                await self._discard(wish, number, tell)

    async def _discard(self, wish: Wish, number: int, tell: Tell) -> None:
        """End a revision whole, unless callers are led there by now."""
        found = await gather(self._cluster, wish.deployment_id)
        if led_to(wish, found) == number:
            return
        tell(f"ending revision {number}")
        await self._servers.discard(wish.model_copy(update={"number": number}))

    # -- the door, and the image ---------------------------------------------------

    async def _relink(self, wish: Wish) -> None:
        """Lead callers here, unless a newer revision serves: a rollout may have been quicker."""
        found = await gather(self._cluster, wish.deployment_id)
        led = led_to(wish, found) or 0
        if led > wish.number and any(
            processes.ready(pod) for pod in found.of(POD, revision=led, role="server")
        ):
            return
        wanted = await self._builders.door(wish)
        await self._fitting.cleanse(wanted, found)
        fresh = await gather(self._cluster, wish.deployment_id)
        if (led_to(wish, fresh) or 0) not in (led, wish.number):
            return
        for one in wanted:
            live = fresh.like(one)
            metadata = dict(one["metadata"])
            if live is not None and one["kind"] == SERVICE.name:
                # Whoever led callers elsewhere since we looked is not overruled: the answer is a conflict.
                metadata["resourceVersion"] = live["metadata"]["resourceVersion"]
            await self._cluster.apply({**one, "metadata": metadata})

    async def _rebuild(self, wish: Wish, tell: Tell) -> None:
        if wish.image is None:
            return
        if wish.archive is None and wish.image_uri is None:
            raise Refused(
                Code.IMAGE_GONE,
                f"The registry has no image {wish.image}, and its source is not known any more.",
                "Deploy the source again.",
            )
        image = await self._images.build(wish, tell)
        if image.digest != wish.image:
            raise Refused(
                Code.IMAGE_GONE,
                f"The registry has no image {wish.image}, and its source makes {image.digest} now.",
                "Deploy the source again.",
            )

    async def _pods(self, wish: Wish) -> list[Manifest]:
        return await self._cluster.all(
            POD, {**labels.of_revision(self._cluster.plane, wish), labels.ROLE: "server"}
        )


def _indexes(wish: Wish, targets: Collection[str]) -> list[int]:
    """The slots that are meant; without targets all."""
    return [
        index
        for index in range(wish.replicas)
        if not targets or names.server(wish.deployment_id, wish.number, index) in targets
    ]
