"""A plane that only remembers: for tests, and for trying the workflows without starting anything.

It keeps the promises of `plane.py` (the same contract tests run over it), and lets a test hold a step, break
it, or count it, and injure what was made (`injuries.py`). What is remembered outlives any worker, as a real
plane would.
"""

import asyncio
import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from dataplane.injuries import Injuries
from dataplane.memory_upkeep import MemoryUpkeep
from dataplane.plane import Plane, Tell
from workflows import names
from workflows.causes import Code, Refused
from workflows.mending import Treatment
from workflows.shapes import Image, Plan, Replica, Resource, ResourceKind, Sighting, Wish


class Hold:
    """A step that waits for the test: `reached` once somebody is in it, and on until `release`. A stubborn
    one does not let itself be cancelled."""

    def __init__(self, stubborn: bool = False) -> None:
        self._stubborn = stubborn
        self.reached = asyncio.Event()
        self._released = asyncio.Event()

    def release(self) -> None:
        self._released.set()

    async def pass_by(self) -> None:
        self.reached.set()
        try:
            await self._released.wait()
        except asyncio.CancelledError:
            if not self._stubborn:
                raise
            await self._released.wait()


class Memory:
    """All that a remembered plane knows. `calls` counts steps begun, by name; `cancelled` those given up."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.cancelled: Counter[str] = Counter()
        self.images: dict[str, Image] = {}
        self.fresh: set[str] = set()
        """Images made or found lately: a rollout may hold one that the records do not know of yet."""
        self.owned: defaultdict[UUID, set[tuple[ResourceKind, str]]] = defaultdict(set)
        self.replicas: defaultdict[UUID, dict[str, Replica]] = defaultdict(dict)
        self.serving: dict[UUID, int] = {}
        self.known: dict[UUID, str] = {}
        """Deployments by their names."""
        self.bundles: defaultdict[UUID, set[str]] = defaultdict(set)
        """Images that a deployment was ever started from."""
        self.started_with: dict[str, tuple[str | None, str]] = {}
        """By replica: its image and its environment."""
        self.treated: list[Treatment] = []
        """Every treatment there was, in order."""
        self.injuries = Injuries(self)
        self.stubborn: set[UUID] = set()
        """Deployments whose databases do not go away."""
        self._holds: dict[str, Hold] = {}
        self._failures: defaultdict[str, list[Exception]] = defaultdict(list)

    def hold(self, step: str, stubborn: bool = False) -> Hold:
        """Whoever comes to that step next waits there, as does everybody after, until the release."""
        self._holds[step] = Hold(stubborn)
        return self._holds[step]

    def fail(self, step: str, *errors: Exception) -> None:
        """The next calls of that step fail so, one each."""
        self._failures[step] += errors

    async def enter(self, step: str) -> None:
        """What every step does first."""
        self.calls[step] += 1
        if hold := self._holds.get(step):
            try:
                await hold.pass_by()
            except asyncio.CancelledError:
                self.cancelled[step] += 1
                raise
        if self._failures[step]:
            raise self._failures[step].pop(0)

    def make_databases(self, wish: Wish) -> None:
        """All that is durable of a deployment but its route, which is a number of `serving`."""
        self.known[wish.deployment_id] = wish.name
        self.owned[wish.deployment_id] |= {
            (resource.kind, resource.name)
            for resource in names.durable_resources(wish)
            if resource.kind is not ResourceKind.ROUTE
        }

    def start(self, wish: Wish) -> list[Replica]:
        """The replicas of a revision, made where they were not."""
        self.known[wish.deployment_id] = wish.name
        if wish.image:
            self.bundles[wish.deployment_id].add(wish.image)
        replicas = self.replicas[wish.deployment_id]
        for index in range(wish.replicas):
            name = names.server(wish.deployment_id, wish.number, index)
            if name not in replicas:
                replicas[name] = Replica(name=name, revision=wish.number, index=index, state="starting")
            self.started_with[name] = (wish.image, wish.environment)
        return [replica for replica in replicas.values() if replica.revision == wish.number]

    def end(self, deployment_id: UUID, which: Callable[[Replica], bool]) -> None:
        replicas = self.replicas[deployment_id]
        for name in [name for name, replica in replicas.items() if which(replica)]:
            del replicas[name]
            self.started_with.pop(name, None)

    def plane(self, name: str = "local") -> Plane:
        """The plane over this memory."""
        return Plane(
            name,
            MemoryImages(self),
            MemoryDatabases(self),
            MemoryServers(self),
            MemoryUpkeep(name, self),
        )


class MemoryImages:
    """Images that are only named: the same archive, or the same reference, makes the same digest."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def preflight(self, wish: Wish) -> Plan:
        await self._memory.enter("preflight")
        if wish.archive is None:
            raise Refused(Code.SOURCE_MISSING, "There is nothing to build.", "Deploy again.")
        return Plan(source_digest=wish.archive.sha256, python="3.11", graphs=["echo"])

    async def build(self, wish: Wish, tell: Tell) -> Image:
        await self._memory.enter("build")
        if wish.image is not None and wish.image in self._memory.images:
            return self._found(wish.image, wish)
        if wish.image_uri is not None:
            made_of = source = wish.image_uri
        elif wish.archive is not None:
            source = wish.archive.sha256
            made_of = f"{source} {wish.archive.install_command} {wish.archive.build_command}"
        else:
            raise Refused(Code.IMAGE_GONE, "The image is gone, and so is its source.", "Deploy again.")
        tell("building")
        digest = f"sha256:{hashlib.sha256(made_of.encode()).hexdigest()}"
        if digest in self._memory.images:
            return self._found(digest, wish)
        image = Image(
            digest=digest,
            source_digest=source,
            lock_digest="lock",
            server="memory",
            builder="memory",
            python="3.11",
            size=1,
            defaults=wish.defaults,
            graphs=["echo"],
        )
        self._memory.images[digest] = image
        self._memory.fresh.add(digest)
        return image

    async def collect(self, keep: set[str]) -> int:
        await self._memory.enter("collect")
        gone = set(self._memory.images) - keep - self._memory.fresh
        for digest in gone:
            del self._memory.images[digest]
        return len(gone)

    def _found(self, digest: str, wish: Wish) -> Image:
        found = self._memory.images[digest]
        self._memory.fresh.add(digest)
        return found.model_copy(update={"reused": True, "defaults": wish.defaults or found.defaults})


class MemoryDatabases:
    """Databases that are only listed."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def provision(self, wish: Wish) -> None:
        await self._memory.enter("provision")
        self._memory.make_databases(wish)

    async def remove(self, wish: Wish) -> None:
        await self._memory.enter("remove")
        if wish.deployment_id not in self._memory.stubborn:
            self._memory.owned.pop(wish.deployment_id, None)

    async def observe(self, wish: Wish) -> Sighting:
        owned = self._memory.owned.get(wish.deployment_id, set())
        resources = [Resource(kind=kind, name=name) for kind, name in sorted(owned)]
        return Sighting(deployment_id=wish.deployment_id, at=datetime.now(UTC), resources=resources)


class MemoryServers:
    """Replicas that are only counted, and a gateway that is a number."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def apply(self, wish: Wish) -> None:
        await self._memory.enter("apply")
        if wish.image not in self._memory.images:
            raise Refused(Code.IMAGE_GONE, f"Image {wish.image} is not on this plane.")
        self._memory.start(wish)

    async def until_ready(self, wish: Wish, tell: Tell) -> None:
        await self._memory.enter("await_ready")
        for replica in self._of(wish):
            replica.state, replica.healthy = "running", True
            tell(f"replica {replica.index} is ready")

    async def prove(self, wish: Wish) -> None:
        await self._memory.enter("prove")
        if not all(replica.healthy for replica in self._of(wish)):
            raise Refused(Code.PROOF_FAILED, "Not every replica answers.")

    async def switch(self, wish: Wish) -> None:
        await self._memory.enter("switch")
        self._memory.serving[wish.deployment_id] = wish.number

    async def retire(self, wish: Wish, tell: Tell) -> None:
        await self._memory.enter("retire")
        self._memory.end(wish.deployment_id, lambda replica: replica.revision < wish.number)

    async def discard(self, wish: Wish) -> None:
        await self._memory.enter("discard")
        self._memory.end(wish.deployment_id, lambda replica: replica.revision == wish.number)
        if self._memory.serving.get(wish.deployment_id) == wish.number:
            del self._memory.serving[wish.deployment_id]

    async def remove(self, wish: Wish) -> None:
        self._memory.end(wish.deployment_id, lambda replica: True)
        self._memory.serving.pop(wish.deployment_id, None)
        self._memory.known.pop(wish.deployment_id, None)
        self._memory.bundles.pop(wish.deployment_id, None)
        self._memory.injuries.forget(wish.deployment_id)

    async def observe(self, wish: Wish) -> Sighting:
        replicas = list(self._memory.replicas[wish.deployment_id].values())
        serving = self._memory.serving.get(wish.deployment_id)
        resources = [Resource(kind=ResourceKind.PROCESS, name=replica.name) for replica in replicas]
        if serving is not None:
            slug = names.slug(wish.name, wish.deployment_id)
            resources.insert(0, Resource(kind=ResourceKind.ROUTE, name=slug))
        return Sighting(
            deployment_id=wish.deployment_id,
            at=datetime.now(UTC),
            replicas=[replica.model_copy() for replica in replicas],
            serving=serving,
            resources=resources,
        )

    def _of(self, wish: Wish) -> list[Replica]:
        replicas = self._memory.replicas[wish.deployment_id].values()
        return [replica for replica in replicas if replica.revision == wish.number]
