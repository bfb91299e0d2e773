"""What can be done for one deployment of this machine without a new revision, each no more than it must be.

Replicas are ended one after another and only while the one before is back, so that of two one always serves.
"""

import asyncio
import time
from collections.abc import Collection, Sequence

from dataplane.flavours import flavour
from dataplane.images.bundle import Bundle
from dataplane.images.whole import Bundles
from dataplane.local.ours import Ours
from dataplane.local.programs import Program
from dataplane.local.replicas import Replicas
from dataplane.local.servers import LocalServers
from dataplane.local.started import Started
from dataplane.local.supervisor import Supervisor
from dataplane.plane import Databases, Images, Tell
from workflows import names
from workflows.causes import Code, Refused
from workflows.mending import Remedy, Treatment
from workflows.shapes import Wish

REACHABLE = 0o666
"""As servers make their sockets; the directory around them lets nobody else in."""
HUNG_SECONDS = 3.0
"""For one that does not answer: whatever it could still save, it saves at once or never."""


class Remedies:
    """The remedies of one home."""

    def __init__(
        self,
        replicas: Replicas,
        servers: LocalServers,
        started: Started,
        supervisor: Supervisor,
        databases: Databases,
        images: Images,
        bundles: Bundles,
        ours: Ours,
        *,
        stuck_seconds: float,
    ) -> None:
        self._replicas = replicas
        self._servers = servers
        self._started = started
        self._supervisor = supervisor
        self._databases = databases
        self._images = images
        self._bundles = bundles
        self._ours = ours
        self._stuck_seconds = stuck_seconds

    async def treat(self, wish: Wish, treatments: Sequence[Treatment], tell: Tell) -> None:
        """Each in turn."""
        with self._ours.during(wish.deployment_id):
            for treatment in treatments:
                tell(treatment.remedy)
                await self._treat(wish, treatment, tell)

    async def _treat(self, wish: Wish, treatment: Treatment, tell: Tell) -> None:
        match treatment.remedy:
            case Remedy.AWAIT:
                await self._hasten(wish, treatment.targets)
                await self._outlast(wish, treatment.targets, tell)
                await self._wait(wish, treatment.targets, tell)
            case Remedy.RELINK:
                await asyncio.to_thread(self._relink, wish)
            case Remedy.WAKE:
                await self._wake(wish, treatment.targets, tell)
            case Remedy.PROVISION:
                await self._databases.provision(wish)
            case Remedy.END:
                await self._end(wish, treatment.targets)
            case Remedy.FIT:
                await self._fit(wish, treatment.targets, tell)
            case Remedy.REBUILD:
                await self._rebuild(wish, tell)
            case Remedy.RESTART:
                await self._restart(wish, treatment.targets, tell)

    async def _wait(self, wish: Wish, targets: Collection[str], tell: Tell) -> None:
        if self._replicas.names(wish, targets):
            await self._servers.wait(wish, tell, targets)

    async def _hasten(self, wish: Wish, targets: Collection[str]) -> None:
        """One that died young is started by supervisor after a pause; once it is known, nobody waits for that."""
        states = await self._supervisor.all_states()
        for name in self._replicas.names(wish, targets):
            if name in states and states[name].state == "BACKOFF":
                await self._supervisor.restart(name)

    async def _outlast(self, wish: Wish, targets: Collection[str], tell: Tell) -> None:
        hung = self._replicas.names(wish, targets).items()
        await asyncio.gather(*(self._come_back(wish, name, index, tell) for name, index in hung))

    async def _come_back(self, wish: Wish, name: str, index: int, tell: Tell) -> None:
        """Code that blocks comes to an end most often; what hangs for good is refused."""
        replica, deadline = self._replicas.replica(wish, index), time.monotonic() + self._stuck_seconds
        while await replica.silent(flavour(wish.flavour)):
            tell(f"{name} takes requests and answers none")
            if time.monotonic() > deadline:
                raise Refused(
                    Code.NO_PROGRESS, f"{name} has answered nothing for {self._stuck_seconds:.0f} s."
                )

    def _relink(self, wish: Wish) -> None:
        slots, short = self._replicas.slots, names.short(wish.deployment_id)
        slots.make()
        for index in range(wish.replicas):
            socket = slots.socket(short, wish.number, index)
            if socket.is_socket():
                socket.chmod(REACHABLE)
        slug = names.slug(wish.name, wish.deployment_id)
        slots.lead(short, slug, wish.number, wish.replicas, unless_newer=True)

    async def _wake(self, wish: Wish, targets: Collection[str], tell: Tell) -> None:
        every = [*self._replicas.names(wish), names.redis(wish.deployment_id)]
        states = await self._supervisor.all_states()
        woken = [one for one in every if (not targets or one in targets) and one in states]
        for name in woken:
            await self._supervisor.signal(name, "CONT")
        if servers := [*self._replicas.names(wish, woken)] if woken else []:
            await self._servers.wait(wish, tell, servers)

    async def _end(self, wish: Wish, targets: Collection[str]) -> None:
        """Those named, unless this revision wants them: they were named while no rollout was under way."""
        there = await self._servers.there(names.short(wish.deployment_id))
        wished = self._replicas.names(wish)
        await self._servers.end(
            wish, {name: number for name, number in there.items() if name in targets and name not in wished}
        )

    async def _fit(self, wish: Wish, targets: Collection[str], tell: Tell) -> None:
        """Files are put right under a process that runs as wished; one that does not is started anew."""
        programs = await self._programs(wish, targets)
        if not programs:
            return
        states = await self._supervisor.all_states()
        down, other = [], []
        for name, program in programs.items():
            state = states.get(name)
            if state is None or not state.pid:
                down.append(name)
            elif await asyncio.to_thread(self._started.otherwise, program, self._started.note(name, state)):
                other.append(name)
            else:
                await asyncio.to_thread(self._replicas.files.write, program)
        await asyncio.gather(*(self._revive(programs[name], name in states) for name in down))
        await self._wait(wish, [*programs], tell)
        for name in other:
            await self._begin_again(wish, name, programs[name], tell)

    async def _revive(self, program: Program, known: bool) -> None:
        if known:
            # One that waits for its next try is not made to wait; how often it is tried is decided elsewhere.
            await self._supervisor.stop([program.name])
        else:
            await self._servers.end_strays(program.name)
        await self._supervisor.put(program)

    async def _restart(self, wish: Wish, targets: Collection[str], tell: Tell) -> None:
        programs, indexes = await self._programs(wish, targets), self._replicas.names(wish)
        answers = {name: await self._replicas.replica(wish, indexes[name]).answers() for name in programs}
        # Those that are ill first: until they are back, the others have all the work.
        for name in sorted(programs, key=lambda name: answers[name]):
            await self._begin_again(wish, name, programs[name], tell)

    async def _begin_again(self, wish: Wish, name: str, program: Program, tell: Tell) -> None:
        replica = self._replicas.replica(wish, self._replicas.names(wish)[name])
        hung = not await replica.answers()
        tell(f"ending {name}")
        ending = asyncio.create_task(self._supervisor.stop([name]))
        try:
            if hung:
                await asyncio.wait([ending], timeout=HUNG_SECONDS)
                while not ending.done():
                    await self._supervisor.signal(name, "KILL")
                    await asyncio.wait([ending], timeout=1)
            await ending
        finally:
            ending.cancel()
        await self._servers.end_strays(name)
        await self._supervisor.put(program)
        tell(f"{name} is started again")
        await self._servers.wait(wish, tell, [name])

    async def _programs(self, wish: Wish, targets: Collection[str]) -> dict[str, Program]:
        if targets and not self._replicas.names(wish, targets):
            return {}
        await asyncio.to_thread(self._replicas.slots.make)
        bundle = await asyncio.to_thread(Bundle.load, self._replicas.home, wish.image or "")
        return await asyncio.to_thread(self._replicas.programs, wish, bundle, targets)

    async def _rebuild(self, wish: Wish, tell: Tell) -> None:
        if wish.image is None:
            return
        if wish.archive is None:
            raise Refused(
                Code.IMAGE_GONE,
                f"The image {wish.image} is damaged, and its source is not known any more.",
                "Deploy the source again.",
            )
        await asyncio.to_thread(self._bundles.condemn, wish.image)
        image = await self._images.build(wish, tell)
        if image.digest != wish.image:
            raise Refused(
                Code.IMAGE_GONE,
                f"The image {wish.image} is damaged, and its source makes {image.digest} now: what images are built"
                " with has changed.",
                "Deploy the source again.",
            )
