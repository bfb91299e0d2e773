"""What the servers and the door of one deployment look like on a cluster, in the words of drift. Nothing is
changed by looking.

Objects are read once, for both; what they should be is built anew and compared. Only what no object tells is asked
of the replicas themselves, and only a replica that died or is ill is asked for its last lines.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from dataplane.flavours import ServerFlavour, flavour
from dataplane.kubernetes import doors, processes
from dataplane.kubernetes import names as labels
from dataplane.kubernetes.belongings import Belongings, gather
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.kinds import DEPLOYMENT, POD, Manifest, ending
from dataplane.kubernetes.likeness import fields, told, unlike
from dataplane.kubernetes.processes import CONTAINER, DEAD, LOOPING, End
from dataplane.local.diagnosis import diagnose, last_lines, masked
from dataplane.local.pulse import Pulse, work
from dataplane.local.replica import AWAY
from workflows import names
from workflows.causes import Code
from workflows.drift import ANSWERS, AS_WISHED, MOVES, RUNNING, STARTING, Fact, Field
from workflows.shapes import Wish

TOLD_FOR = timedelta(minutes=10)
"""How long a death that is over is spoken of."""
WRITTEN = "only written down"
TEMPLATE = "spec.template.spec."
IMAGE_PLACE = f"{TEMPLATE}containers[{CONTAINER}].image"


class Replica(Protocol):
    """A server that can be asked."""

    async def health(self, flavour: ServerFlavour, timeout: float = 2.0) -> str:
        """`ANSWERS`, `AWAY`, or how it fails to answer."""

    async def pulse(self, token: str, timeout: float = 4.0) -> Pulse | None: ...


class Builders(Protocol):
    """What we would apply for a wish; the objects hold secrets, so they go nowhere but to the cluster."""

    async def revision(self, wish: Wish) -> list[Manifest]:
        """All that a revision's servers are made of, whether it serves or not."""

    async def door(self, wish: Wish) -> list[Manifest]:
        """What leads callers to it."""

    async def secrets(self, wish: Wish) -> frozenset[str]:
        """Every value that must not be seen in a message."""

    async def token(self, wish: Wish) -> str:
        """What replicas are shown to have their pulse told."""


class ServerSight:
    """Looks at the servers of one plane."""

    def __init__(
        self,
        cluster: Cluster,
        builders: Builders,
        replica: Callable[[Wish, str], Replica],
        *,
        stuck_seconds: float,
    ) -> None:
        self._cluster = cluster
        self._builders = builders
        self._replica = replica
        self._stuck_seconds = stuck_seconds

    async def facts(self, wish: Wish) -> list[Fact]:
        """Every server of the deployment, and its door. Raises while the API is away."""
        found = await gather(self._cluster, wish.deployment_id)
        revision, door = await asyncio.gather(self._builders.revision(wish), self._builders.door(wish))
        secrets = await self._builders.secrets(wish)
        slug, short = names.slug(wish.name, wish.deployment_id), names.short(wish.deployment_id)
        pods = list(found.of(POD, revision=wish.number, role="server"))
        slots = processes.living(pods)
        since = max(
            datetime.now(UTC) - TOLD_FOR,
            doors.led_since(found, slug) or datetime.fromtimestamp(0, UTC),
        )
        shared = list(wrong(revision, found))
        deployment = _deployment(found, wish.number)
        facts = await asyncio.gather(
            *(
                self._slot(wish, index, slots, deployment, revision, shared, secrets)
                for index in range(wish.replicas)
            )
        )
        ended = await self._ends(wish, pods, slots, since, secrets)
        return [
            *told_once([fact for one in facts for fact in one], ended),
            *extras(wish, slots, deployment),
            *others(wish, found),
            *doors.facts(slug, short, door, found),
        ]

    async def _slot(
        self,
        wish: Wish,
        index: int,
        slots: Sequence[Manifest],
        deployment: Manifest | None,
        wanted: Sequence[Manifest],
        shared: Sequence[str],
        secrets: frozenset[str],
    ) -> list[Fact]:
        name = names.server(wish.deployment_id, wish.number, index)
        if index >= len(slots):
            return []
        pod = slots[index]
        now = processes.state(pod)
        said = masked(now.said, secrets)[:1000]
        facts = [
            Fact(field=Field.PROCESS, name=name, seen=now.seen, since=now.since, code=now.code, evidence=said)
        ]
        facts.append(Fact(field=Field.IMAGE, name=name, seen=image(pod, deployment)))
        places = [*shared, *_pod(pod, wanted)]
        seen = f"otherwise: {told(places)}" if places else AS_WISHED
        facts.append(Fact(field=Field.ENVIRONMENT, name=name, seen=seen))
        address = processes.address(pod)
        if now.seen == RUNNING and address is not None:
            facts += await self._asked(wish, name, pod, self._replica(wish, address), secrets)
        return facts

    async def _asked(
        self, wish: Wish, name: str, pod: Manifest, replica: Replica, secrets: frozenset[str]
    ) -> list[Fact]:
        health = await replica.health(flavour(wish.flavour))
        said = "" if health in (ANSWERS, AWAY) else await self._words(pod["metadata"]["name"], secrets)
        facts = [Fact(field=Field.ANSWER, name=name, seen=health, evidence=said)]
        if health == ANSWERS:
            facts += await self._work(wish, name, pod, replica, secrets)
        return facts

    async def _work(
        self, wish: Wish, name: str, pod: Manifest, replica: Replica, secrets: frozenset[str]
    ) -> list[Fact]:
        token = await self._builders.token(wish)
        pulse = await replica.pulse(token)
        seen = work(pulse, self._stuck_seconds) if pulse else None
        if seen is not None and seen[0] != MOVES:
            # Believed when it comes twice: between two runs a queue is idle for a moment.
            await asyncio.sleep(0.5)
            pulse = await replica.pulse(token)
            seen = work(pulse, self._stuck_seconds) if pulse else None
        if seen is None:
            return []
        if seen[0] == MOVES:
            return [Fact(field=Field.WORK, name=name, seen=MOVES)]
        since = datetime.fromtimestamp(time.time() - seen[1], UTC)
        said = await self._words(pod["metadata"]["name"], secrets)
        return [
            Fact(field=Field.WORK, name=name, seen=seen[0], since=since, code=Code.NO_PROGRESS, evidence=said)
        ]

    async def _ends(
        self,
        wish: Wish,
        pods: Sequence[Manifest],
        slots: Sequence[Manifest],
        since: datetime,
        secrets: frozenset[str],
    ) -> list[Fact]:
        """How servers died before; a pod that is over is told of under the slot that came after it."""
        index = {pod["metadata"]["name"]: at for at, pod in enumerate(slots)}
        told = []
        for end in processes.ends(pods, since):
            at = index.get(end.pod)
            if at is None:
                later = [
                    place
                    for place, pod in enumerate(slots)
                    if processes.made(pod) >= end.at - timedelta(seconds=2)
                ]
                at = later[0] if later else 0
            if at < wish.replicas:
                told.append(self._end(names.server(wish.deployment_id, wish.number, at), end, secrets))
        return list(await asyncio.gather(*told))

    async def _end(self, name: str, end: End, secrets: frozenset[str]) -> Fact:
        raw = ""
        if end.legible:
            raw = await self._cluster.last_words(end.pod, CONTAINER, previous=end.previous)
        code = end.code
        if code is None and not end.how.startswith("SIG") and end.how != "exit status 0" and raw:
            found = diagnose(raw, secrets).cause
            code = found.code if found else None
        said = "\n".join(last_lines(masked(raw or end.said, secrets)))
        return Fact(
            field=Field.PROCESS, name=name, seen=end.how, since=end.at, past=True, code=code, evidence=said
        )

    async def _words(self, pod: str, secrets: frozenset[str]) -> str:
        raw = await self._cluster.last_words(pod, CONTAINER)
        return "\n".join(last_lines(masked(raw, secrets)))


def told_once(facts: Sequence[Fact], ended: Sequence[Fact]) -> list[Fact]:
    """Ends that are not over, because nothing runs in that slot, tell since when and why; the others are past."""
    now = {fact.name: fact for fact in facts if fact.field is Field.PROCESS}
    past = []
    for end in ended:
        is_ = now.get(end.name)
        if is_ is None:
            now[end.name] = end.model_copy(update={"past": False})
        elif is_.seen in (LOOPING, DEAD, STARTING) and not is_.evidence:
            more = {"since": end.since, "code": is_.code or end.code, "evidence": end.evidence}
            now[end.name] = is_.model_copy(update=more)
        else:
            past.append(end)
    return [*now.values(), *(fact for fact in facts if fact.field is not Field.PROCESS), *past]


def image(pod: Manifest, deployment: Manifest | None) -> str:
    """What a pod's server is made from, and what the next one would be if that is something else."""
    runs = processes.image(pod.get("spec"))
    if deployment is None:
        return runs
    written = processes.image(deployment["spec"]["template"]["spec"])
    return runs if written == runs else f"{runs}, written down as {written}"


def wrong(wanted: Sequence[Manifest], found: Belongings) -> Iterator[str]:
    """What the objects of a revision are otherwise than wanted, its image aside and how many it is to run."""
    for one in wanted:
        live, what = found.like(one), one["kind"]
        if live is None:
            yield f"{what} is missing"
            continue
        places = [place for place in unlike(one, live) if place not in (IMAGE_PLACE, "spec.replicas")]
        if places and what != DEPLOYMENT.name:
            yield f"{what} {told(places)}"
        elif places:
            yield told([place.removeprefix(TEMPLATE).removeprefix("spec.") for place in places])


def extras(wish: Wish, slots: Sequence[Manifest], deployment: Manifest | None) -> Iterator[Fact]:
    """Servers of this revision beyond its number, also those that are only ordered."""
    ordered = int((deployment or {}).get("spec", {}).get("replicas", 0))
    for index in range(wish.replicas, max(len(slots), ordered)):
        name = names.server(wish.deployment_id, wish.number, index)
        seen = processes.state(slots[index]).seen if index < len(slots) else STARTING
        yield Fact(field=Field.PROCESS, name=name, seen=seen)


def others(wish: Wish, found: Belongings) -> Iterator[Fact]:
    """Servers of other revisions."""
    numbers = {
        int(number)
        for kind in (DEPLOYMENT, POD)
        for one in found.of(kind, role="server")
        if (number := one["metadata"]["labels"].get(labels.REVISION, "")).isdecimal()
    }
    for number in sorted(numbers - {wish.number}):
        slots = processes.living(list(found.of(POD, revision=number, role="server")))
        for index, pod in enumerate(slots):
            name = names.server(wish.deployment_id, number, index)
            yield Fact(field=Field.PROCESS, name=name, seen=processes.state(pod).seen)
        deployment = _deployment(found, number)
        if not slots and deployment is not None and not ending(deployment):
            yield Fact(field=Field.PROCESS, name=names.server(wish.deployment_id, number, 0), seen=WRITTEN)


def _deployment(found: Belongings, number: int) -> Manifest | None:
    return next(found.of(DEPLOYMENT, revision=number, role="server"), None)


def _pod(pod: Manifest, wanted: Collection[Manifest]) -> list[str]:
    """What a pod itself was made with otherwise; what is put into pods on their way counts for nothing."""
    template = next((one["spec"]["template"] for one in wanted if one["kind"] == DEPLOYMENT.name), None)
    if template is None:
        return []
    places = fields(template["spec"], pod.get("spec"), whole=False)
    here = f"containers[{CONTAINER}].image"
    found = [place for place in places if place != here]
    return [f"its pod's {told(found)}"] if found else []
