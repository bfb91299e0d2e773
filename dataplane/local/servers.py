"""Replicas as supervised processes on Unix sockets, and the links by which the gateway finds them.

What exists is known from names: a program, a socket, a log and a link all say which revision and replica they
belong to. So every verb may be repeated, and what a crash left behind is found by looking.
"""

import asyncio
import re
import shutil
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from pathlib import Path

import httpx

from dataplane.flavours import flavour
from dataplane.images.bundle import Bundle
from dataplane.local import strays
from dataplane.local.environment import token
from dataplane.local.ours import Ours
from dataplane.local.readiness import Readiness, Watched
from dataplane.local.replica import REVISION_HEADER, Replica
from dataplane.local.replicas import Replicas
from dataplane.local.supervisor import State, Supervisor
from dataplane.plane import Tell
from workflows import names, shapes
from workflows.causes import Code, Refused
from workflows.shapes import Resource, ResourceKind, Sighting, Wish

PROGRAM = re.compile(r"server-[0-9a-f]{8}-(\d+)-(\d+)")
SETTLE = 0.5
"""Requests that were on their way when the links moved arrive within this; only then old replicas close."""
LOOK_SECONDS = 8.0
"""Of the twenty that a switch may take; one answer may take six."""
SEEN = {
    "STARTING": "starting",
    "RUNNING": "running",
    "STOPPING": "stopping",
    "BACKOFF": "backoff",
    "STOPPED": "dead",
    "EXITED": "dead",
    "FATAL": "dead",
}


class LocalServers:
    """The servers of one home."""

    def __init__(
        self,
        replicas: Replicas,
        supervisor: Supervisor,
        ours: Ours,
        *,
        public_url: str,
        progress_seconds: float,
    ) -> None:
        self._home = replicas.home
        self._replicas = replicas
        self._supervisor = supervisor
        self._ours = ours
        self._public_url = public_url.rstrip("/")
        self._progress_seconds = progress_seconds
        self._slots = replicas.slots

    async def apply(self, wish: Wish) -> None:
        """Have the wish's replicas started; those that run as wished are left alone."""
        await self.start(wish)

    async def start(self, wish: Wish, among: Collection[str] = ()) -> None:
        """The same for some of them."""
        with self._ours.during(wish.deployment_id):
            await asyncio.to_thread(self._slots.make)
            bundle = await asyncio.to_thread(Bundle.load, self._home, wish.image or "")
            programs = await asyncio.to_thread(self._replicas.programs, wish, bundle, among)
            await asyncio.gather(*(self._supervisor.put(program) for program in programs.values()))

    async def until_ready(self, wish: Wish, tell: Tell) -> None:
        """Wait for every replica, while there is progress."""
        await self.wait(wish, tell)

    async def wait(self, wish: Wish, tell: Tell, among: Collection[str] = ()) -> None:
        """The same for some of them."""
        indexes = self._replicas.names(wish, among).values()
        watched = [
            Watched(self._replicas.replica(wish, one), self._replicas.log(wish, one)) for one in indexes
        ]
        secrets = await asyncio.to_thread(self._replicas.secrets, wish)
        with self._ours.during(wish.deployment_id):
            await Readiness(
                self._supervisor, watched, secrets, progress_seconds=self._progress_seconds, tell=tell
            ).wait()

    async def prove(self, wish: Wish) -> None:
        """Show on every replica that it is what it should be."""
        bundle = await asyncio.to_thread(Bundle.load, self._home, wish.image or "")
        secret = await asyncio.to_thread(token, self._replicas.keys, wish)
        chosen, graphs = flavour(wish.flavour), list(bundle.graphs)
        replicas = [self._replicas.replica(wish, index) for index in range(wish.replicas)]
        await asyncio.gather(*(replica.prove(chosen, graphs, secret) for replica in replicas))

    async def switch(self, wish: Wish) -> None:
        """Lead the gateway here, have these replicas take runs, and look from the outside."""
        with self._ours.during(wish.deployment_id):
            short, slug = names.short(wish.deployment_id), names.slug(wish.name, wish.deployment_id)
            before = await asyncio.to_thread(self._slots.serving, short)
            await asyncio.to_thread(self._slots.lead, short, slug, wish.number, wish.replicas)
            try:
                await self._look(slug, wish.number)
            except Refused:
                await self._lead_back(wish, before)
                raise

    async def retire(self, wish: Wish, tell: Tell) -> None:
        """Drain and end all replicas of older revisions, side by side."""
        with self._ours.during(wish.deployment_id):
            short = names.short(wish.deployment_id)
            old = {name: number for name, number in (await self.there(short)).items() if number < wish.number}
            for number in {*old.values()}:
                self._slots.marker(short, number).unlink(missing_ok=True)
            if old:
                tell(f"draining {', '.join(sorted(old))}")
                await asyncio.sleep(SETTLE)
                await self._end(short, old)
                tell("all older replicas are gone")
            for number in await asyncio.to_thread(self._slots.numbers, short):
                if number < wish.number:
                    self._slots.forget(short, number)

    async def discard(self, wish: Wish) -> None:
        """End this revision's replicas; they never served, so nothing is waited for."""
        with self._ours.during(wish.deployment_id):
            short = names.short(wish.deployment_id)
            if await asyncio.to_thread(self._slots.serving, short) == wish.number:
                await asyncio.to_thread(self._slots.close, short)
            programs = await self.there(short)
            await self._end(short, {k: n for k, n in programs.items() if n == wish.number}, urge="INT")
            self._slots.forget(short, wish.number)

    async def remove(self, wish: Wish) -> None:
        """End everything of the deployment, the route first; its logs go with it."""
        with self._ours.during(wish.deployment_id):
            short = names.short(wish.deployment_id)
            await asyncio.to_thread(self._slots.close, short)
            programs = await self.there(short)
            for number in {*programs.values(), *self._slots.numbers(short), wish.number}:
                self._slots.forget(short, number)
            await self._end(short, programs, urge="INT")
            for kind in ("deploy", "build"):
                await asyncio.to_thread(shutil.rmtree, self._home / "logs" / kind / short, ignore_errors=True)

    async def observe(self, wish: Wish) -> Sighting:
        """Replicas as supervisor sees them and as they answer, and where the gateway leads."""
        short = names.short(wish.deployment_id)
        programs, states = await self.there(short), await self._supervisor.all_states()
        replicas = await asyncio.gather(
            *(self._seen(short, name, states.get(name)) for name in sorted(programs))
        )
        resources = [Resource(kind=ResourceKind.PROCESS, name=name) for name in sorted(programs)]
        if await asyncio.to_thread(self._slots.routed, short):
            slug = names.slug(wish.name, wish.deployment_id)
            resources.append(Resource(kind=ResourceKind.ROUTE, name=slug))
        return Sighting(
            deployment_id=wish.deployment_id,
            at=datetime.now(UTC),
            replicas=list(replicas),
            serving=await asyncio.to_thread(self._slots.serving, short),
            resources=resources,
        )

    async def there(self, short: str) -> dict[str, int]:
        """Every server of the deployment, written, supervised or merely alive, with its revision."""
        written = await asyncio.to_thread(self._supervisor.files.names, f"server-{short}-")
        running = [
            name for name in await self._supervisor.all_states() if name.startswith(f"server-{short}-")
        ]
        sockets = await asyncio.to_thread(strays.sockets, f"{self._home}/run/rev/{short}-")
        alive = [f"server-{Path(socket).stem}" for socket in sockets]
        return dict(_numbered({*written, *running, *alive}))

    async def end(self, wish: Wish, programs: dict[str, int]) -> None:
        """End these, drained as far as their time allows."""
        with self._ours.during(wish.deployment_id):
            await self._supervisor.remove(*programs, urge="INT")
            for name, number in programs.items():
                await self.end_strays(name)
                short, index = name.split("-")[1], int(name.rpartition("-")[2])
                self._slots.socket(short, number, index).unlink(missing_ok=True)
            left = {*(await self.there(names.short(wish.deployment_id))).values()}
            for number in {*programs.values()} - left - {wish.number}:
                self._slots.forget(names.short(wish.deployment_id), number)

    def alive(self, name: str) -> bool:
        """Whether a process lives that listens where this one would, whoever supervises it."""
        return bool(strays.sockets(self._socket_of(name)))

    async def end_strays(self, name: str) -> None:
        """End processes that listen where this one would and that nobody supervises."""
        state = await self._supervisor.state(name)
        if state is None or not state.pid:
            await strays.end(self._socket_of(name), at_once=True)

    def _socket_of(self, name: str) -> str:
        return f"{self._home}/run/rev/{name.removeprefix('server-')}.sock"

    async def _end(self, short: str, programs: dict[str, int], urge: str | None = None) -> None:
        await self._supervisor.remove(*programs, urge=urge)
        for number in {*programs.values()}:
            sockets = self._slots.socket(short, number, 0).name.removesuffix("0.sock")
            await strays.end(f"{self._home}/run/rev/{sockets}", at_once=urge is not None)
            await asyncio.to_thread(self._slots.forget, short, number)

    async def _seen(self, short: str, name: str, state: State | None) -> shapes.Replica:
        number, index = (int(part) for part in name.split("-")[2:])
        replica = Replica(name, self._slots.socket(short, number, index), number)
        alive = state is not None and state.pid > 0
        healthy = alive and await replica.answers()
        seen = SEEN.get(state.state, "dead") if state else "dead"
        return shapes.Replica(
            name=name,
            revision=number,
            index=index,
            state="running" if healthy and seen == "starting" else seen,
            pid=state.pid if state and alive else None,
            healthy=healthy,
        )

    async def _look(self, slug: str, number: int) -> None:
        """Ask as a caller would, until the answer comes from this revision.

        No connection at all is the gateway's trouble and not the revision's: it raises as it is, and the step
        is tried again.
        """
        url = f"{self._public_url}/d/{slug}/ok"
        told = "nothing"
        async with httpx.AsyncClient(timeout=6, trust_env=False) as client:
            deadline = asyncio.get_running_loop().time() + LOOK_SECONDS
            while asyncio.get_running_loop().time() < deadline:
                answer = await client.get(url)
                revision = answer.headers.get(REVISION_HEADER)
                if answer.status_code == 200 and revision == str(number):
                    return
                told = f"{answer.status_code} of revision {revision or 'unknown'}: {answer.text[:200]}"
                await asyncio.sleep(0.1)
        raise Refused(
            Code.GATEWAY_FAILED,
            f"The new replicas answer, but not through the gateway: {url} tells {told}.",
            "Look into logs/caddy.log of the stack's home, and at whatever stands before the gateway.",
        )

    async def _lead_back(self, wish: Wish, before: int | None) -> None:
        """What served before serves again, if it is still there."""
        short = names.short(wish.deployment_id)
        old = [name for name, number in (await self.there(short)).items() if number == before]
        if before is not None and before != wish.number and old:
            slug = names.slug(wish.name, wish.deployment_id)
            await asyncio.to_thread(self._slots.lead, short, slug, before, len(old))
        elif before != wish.number:
            await asyncio.to_thread(self._slots.close, short)


def _numbered(programs: Iterable[str]) -> Iterable[tuple[str, int]]:
    for name in programs:
        if found := PROGRAM.fullmatch(name):
            yield name, int(found[1])
