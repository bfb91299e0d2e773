"""Replicas as supervised processes on Unix sockets, and the links by which the gateway finds them.

What exists is known from names: a program, a socket, a log and a link all say which revision and replica they
belong to. So every verb may be repeated, and what a crash left behind is found by looking.
"""

import asyncio
import json
import re
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import httpx

from dataplane.flavours import flavour
from dataplane.images.bundle import Bundle
from dataplane.local import strays
from dataplane.local.environment import Environment, token
from dataplane.local.programs import Program, Sealed
from dataplane.local.readiness import Readiness, Watched
from dataplane.local.replica import REVISION_HEADER, Replica
from dataplane.local.slots import Slots
from dataplane.local.supervisor import State, Supervisor
from dataplane.plane import Tell
from workflows import names, shapes
from workflows.causes import Code, Refused
from workflows.shapes import Resource, ResourceKind, Sighting, Wish

ENTRY = Path(__file__).with_name("entry").resolve() / "graphyard_entry.py"
PROGRAM = re.compile(r"server-[0-9a-f]{8}-(\d+)-(\d+)")
AFTER_DRAIN = 20
"""What ending takes beyond the drain: runs are put back, pools closed; then it is killed."""
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
        home: Path,
        supervisor: Supervisor,
        environment: Environment,
        *,
        keys: Path,
        public_url: str,
        progress_seconds: float,
        drain_seconds: float,
    ) -> None:
        self._home = home
        self._supervisor = supervisor
        self._environment = environment
        self._keys = keys
        self._public_url = public_url.rstrip("/")
        self._progress_seconds = progress_seconds
        self._drain_seconds = drain_seconds
        self._slots = Slots(home)

    async def apply(self, wish: Wish) -> None:
        """Have the wish's replicas started; those that run as wished are left alone."""
        await asyncio.to_thread(self._slots.make)
        bundle = await asyncio.to_thread(Bundle.load, self._home, wish.image or "")
        programs = await asyncio.to_thread(
            lambda: [self._program(wish, bundle, i) for i in range(wish.replicas)]
        )
        await asyncio.gather(*(self._supervisor.put(program) for program in programs))

    async def until_ready(self, wish: Wish, tell: Tell) -> None:
        """Wait for every replica, while there is progress."""
        watched = [
            Watched(self._replica(wish, index), self._log(wish, index)) for index in range(wish.replicas)
        ]
        await Readiness(
            self._supervisor,
            watched,
            await asyncio.to_thread(self._environment.secrets, wish),
            progress_seconds=self._progress_seconds,
            tell=tell,
        ).wait()

    async def prove(self, wish: Wish) -> None:
        """Show on every replica that it is what it should be."""
        bundle = await asyncio.to_thread(Bundle.load, self._home, wish.image or "")
        secret = await asyncio.to_thread(token, self._keys, wish)
        chosen, graphs = flavour(wish.flavour), list(bundle.graphs)
        replicas = [self._replica(wish, index) for index in range(wish.replicas)]
        await asyncio.gather(*(replica.prove(chosen, graphs, secret) for replica in replicas))

    async def switch(self, wish: Wish) -> None:
        """Lead the gateway here, have these replicas take runs, and look from the outside."""
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
        short = names.short(wish.deployment_id)
        old = {name: number for name, number in (await self._programs(short)).items() if number < wish.number}
        for number in {*old.values()}:
            self._slots.marker(short, number).unlink(missing_ok=True)
        if old:
            tell(f"draining {', '.join(sorted(old))}")
            await asyncio.sleep(SETTLE)
            await self._end(short, old)
            tell("all older replicas are gone")

    async def discard(self, wish: Wish) -> None:
        """End this revision's replicas; they never served, so nothing is waited for."""
        short = names.short(wish.deployment_id)
        if await asyncio.to_thread(self._slots.serving, short) == wish.number:
            await asyncio.to_thread(self._slots.close, short)
        programs = await self._programs(short)
        await self._end(short, {k: n for k, n in programs.items() if n == wish.number}, urge="INT")
        self._slots.forget(short, wish.number)

    async def remove(self, wish: Wish) -> None:
        """End everything of the deployment, the route first; its logs go with it."""
        short = names.short(wish.deployment_id)
        await asyncio.to_thread(self._slots.close, short)
        programs = await self._programs(short)
        for number in {*programs.values(), wish.number}:
            self._slots.forget(short, number)
        await self._end(short, programs, urge="INT")
        for kind in ("deploy", "build"):
            await asyncio.to_thread(shutil.rmtree, self._home / "logs" / kind / short, ignore_errors=True)

    async def observe(self, wish: Wish) -> Sighting:
        """Replicas as supervisor sees them and as they answer, and where the gateway leads."""
        short = names.short(wish.deployment_id)
        programs, states = await self._programs(short), await self._supervisor.all_states()
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

    def _program(self, wish: Wish, bundle: Bundle, index: int) -> Program:
        name, short = names.server(wish.deployment_id, wish.number, index), names.short(wish.deployment_id)
        told = {
            "GRAPHYARD_SOCKET": str(self._slots.socket(short, wish.number, index)),
            "GRAPHYARD_REVISION": str(wish.number),
            "GRAPHYARD_TAKE": str(self._slots.marker(short, wish.number)),
            "GRAPHYARD_DRAIN_SECONDS": str(self._drain_seconds),
            "GRAPHYARD_MEMORY_MB": str(wish.memory_mb or 0),
        }
        layers = self._environment.layers(wish, bundle, told, self._written(name))
        return Program(
            name=name,
            argv=(str(bundle.python), str(ENTRY)),
            cwd=bundle.workdir,
            log=self._log(wish, index),
            env=layers.plain,
            sealed=layers.sealed,
            keys=self._keys,
            after=self._environment.needs(wish),
            memory_mb=wish.memory_mb,
            stop_seconds=int(self._drain_seconds) + AFTER_DRAIN,
            # A death before this is answered with growing pauses: one loop must not take the machine's time.
            start_seconds=10,
            # A server without its database dies and comes back until there is one, however long that takes.
            start_retries=1_000_000,
            priority=600,
        )

    def _written(self, name: str) -> Sealed | None:
        """The last sealed part of a program as it is on disk."""
        spec = self._supervisor.files.read(name)
        parts = json.loads(spec)["sealed"] if spec else []
        return Sealed(parts[-1]["owner"], parts[-1]["value"]) if parts else None

    def _replica(self, wish: Wish, index: int) -> Replica:
        socket = self._slots.socket(names.short(wish.deployment_id), wish.number, index)
        return Replica(names.server(wish.deployment_id, wish.number, index), socket, wish.number)

    def _log(self, wish: Wish, index: int) -> Path:
        directory = self._home / "logs" / "deploy" / names.short(wish.deployment_id)
        return directory / f"{wish.number}-{index}.log"

    async def _programs(self, short: str) -> dict[str, int]:
        """Every server of the deployment, written, supervised or merely alive, with its revision."""
        written = await asyncio.to_thread(self._supervisor.files.names, f"server-{short}-")
        running = [
            name for name in await self._supervisor.all_states() if name.startswith(f"server-{short}-")
        ]
        sockets = await asyncio.to_thread(strays.sockets, f"{self._home}/run/rev/{short}-")
        alive = [f"server-{Path(socket).stem}" for socket in sockets]
        return dict(_numbered({*written, *running, *alive}))

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
        old = [name for name, number in (await self._programs(short)).items() if number == before]
        if before is not None and before != wish.number and old:
            slug = names.slug(wish.name, wish.deployment_id)
            await asyncio.to_thread(self._slots.lead, short, slug, before, len(old))
        elif before != wish.number:
            await asyncio.to_thread(self._slots.close, short)


def _numbered(programs: Iterable[str]) -> Iterable[tuple[str, int]]:
    for name in programs:
        if found := PROGRAM.fullmatch(name):
            yield name, int(found[1])
