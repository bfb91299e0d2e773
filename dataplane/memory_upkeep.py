"""What a plane that only remembers shows of itself, and how it is put right."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from dataplane.plane import Tell
from workflows import names
from workflows.accounts import Sighted
from workflows.causes import Code, Refused
from workflows.drift import (
    ANSWERS,
    AS_WISHED,
    MISSING,
    MOVES,
    OPEN,
    PRESENT,
    RUNNING,
    STARTING,
    SUSPENDED,
    WHOLE,
    Fact,
    Field,
)
from workflows.mending import REMEDIES, Remedy, Treatment
from workflows.shapes import Replica, Resource, ResourceKind, Wish
from workflows.surveys import Seen, SurveyPage

if TYPE_CHECKING:
    from dataplane.memory import Memory

SIGN_OF_LIFE = 1.0
PAGE = 500
DEEP = frozenset({Field.WORK, Field.ENVIRONMENT})
"""What only a look at one deployment shows."""
ALWAYS = {
    ResourceKind.DATABASE: ((Field.DATABASE, PRESENT), (Field.EXTENSION, PRESENT), (Field.GRANTS, AS_WISHED)),
    ResourceKind.ROLE: (
        (Field.ROLE, PRESENT),
        (Field.PASSWORD, AS_WISHED),
        (Field.CONNECTIONS, AS_WISHED),
    ),
    ResourceKind.REDIS: (
        (Field.REDIS, RUNNING),
        (Field.REDIS_PASSWORD, AS_WISHED),
        (Field.PERSISTENCE, AS_WISHED),
    ),
}


class MemoryUpkeep:
    """Looks at what is remembered, and heals what was injured."""

    def __init__(self, plane: str, memory: "Memory", page: int = PAGE) -> None:
        self._plane = plane
        self._memory = memory
        self._page = page

    async def sight(self, wish: Wish) -> Sighted:
        await self._memory.enter("sight")
        facts = [*self._facts(wish.deployment_id, wish.name), *self._environments(wish)]
        if wish.image:
            whole = wish.image in self._memory.images
            facts.append(Fact(field=Field.BUNDLE, name=wish.image, seen=WHOLE if whole else MISSING))
        facts = self._injured(wish.deployment_id, facts)
        deaths = self._memory.injuries.deaths.pop(wish.deployment_id, [])
        return Sighted(at=datetime.now(UTC), looked=list(Field), facts=facts + deaths)

    async def repair(self, wish: Wish, treatments: Sequence[Treatment], tell: Tell) -> None:
        await self._memory.enter("repair")
        for treatment in treatments:
            tell(treatment.remedy)
            self._memory.treated.append(treatment)
            self._treat(wish, treatment)
        self._memory.injuries.after_repair(wish.deployment_id)

    async def observe_all(self) -> AsyncIterator[SurveyPage]:
        await self._memory.enter("observe_all")
        looked = [field for field in Field if field not in DEEP]
        of = {names.short(deployment_id): deployment_id for deployment_id in self._everybody()}
        strays: dict[str, list[Resource]] = {}
        for stray in self._memory.injuries.strays:
            strays.setdefault(short_in(stray), []).append(stray)
        shorts = sorted({*of, *strays})
        firsts = [shorts[start] for start in range(self._page, len(shorts), self._page)]
        for first, end in zip(["", *firsts], [*firsts, None], strict=True):
            within = [one for one in shorts if one >= first and (end is None or one < end)]
            seen = [self._seen(one, of.get(one), strays.get(one, [])) for one in within]
            yield SurveyPage(plane=self._plane, first=first, end=end, looked=looked, seen=seen)

    async def watch(self) -> AsyncIterator[set[UUID]]:
        await self._memory.enter("watch")
        injuries = self._memory.injuries
        while True:
            yield injuries.taken()
            try:
                async with asyncio.timeout(SIGN_OF_LIFE):
                    await injuries.news.wait()
            except TimeoutError:
                continue

    async def remove_orphan(self, orphan: Resource) -> None:
        await self._memory.enter("remove_orphan")
        strays = self._memory.injuries.strays
        strays[:] = [one for one in strays if (one.kind, one.name) != (orphan.kind, orphan.name)]

    def _everybody(self) -> set[UUID]:
        memory = self._memory
        replicas = {one for one, there in memory.replicas.items() if there}
        return {*(one for one, there in memory.owned.items() if there), *replicas, *memory.serving}

    def _seen(self, short: str, deployment_id: UUID | None, strays: list[Resource]) -> Seen:
        if deployment_id is None:
            return Seen(short=short, resources=strays)
        memory = self._memory
        name = memory.known.get(deployment_id, "")
        facts = [one for one in self._facts(deployment_id, name) if one.field not in DEEP]
        of_ours = [Resource(kind=kind, name=one) for kind, one in sorted(memory.owned.get(deployment_id, ()))]
        replicas = memory.replicas.get(deployment_id, {})
        of_ours += [Resource(kind=ResourceKind.PROCESS, name=one) for one in replicas]
        if deployment_id in memory.serving:
            of_ours.append(Resource(kind=ResourceKind.ROUTE, name=names.slug(name, deployment_id)))
        for digest in memory.bundles.get(deployment_id, ()):
            seen = WHOLE if digest in memory.images else MISSING
            facts.append(Fact(field=Field.BUNDLE, name=digest, seen=seen))
        return Seen(short=short, facts=self._injured(deployment_id, facts), resources=of_ours + strays)

    def _facts(self, deployment_id: UUID, name: str) -> Iterator[Fact]:
        memory = self._memory
        for kind, owned in sorted(memory.owned.get(deployment_id, ())):
            for field, seen in ALWAYS[kind]:
                yield Fact(field=field, name=owned, seen=seen)
        number = memory.serving.get(deployment_id)
        if number is not None:
            slug = names.slug(name, deployment_id)
            yield Fact(field=Field.ROUTE, name=slug, seen=OPEN)
            yield Fact(field=Field.LINK, name=slug, seen=f"revision {number}")
        for replica in memory.replicas.get(deployment_id, {}).values():
            state = RUNNING if replica.state == "running" else STARTING
            yield Fact(field=Field.PROCESS, name=replica.name, seen=state)
            if replica.healthy:
                yield Fact(field=Field.ANSWER, name=replica.name, seen=ANSWERS)
                yield Fact(field=Field.WORK, name=replica.name, seen=MOVES)
            image = memory.started_with[replica.name][0]
            if image:
                yield Fact(field=Field.IMAGE, name=replica.name, seen=image)

    def _environments(self, wish: Wish) -> Iterator[Fact]:
        for replica in self._memory.replicas.get(wish.deployment_id, {}).values():
            same = self._memory.started_with[replica.name][1] == wish.environment
            seen = AS_WISHED if same else "other variables than wished"
            yield Fact(field=Field.ENVIRONMENT, name=replica.name, seen=seen)

    def _injured(self, deployment_id: UUID, facts: list[Fact]) -> list[Fact]:
        injured = self._memory.injuries.facts.get(deployment_id, {})
        whole = [one for one in facts if (one.field, one.name) not in injured]
        return whole + [one for one in injured.values() if one.seen != MISSING]

    def _treat(self, wish: Wish, treatment: Treatment) -> None:
        match treatment.remedy:
            case Remedy.PROVISION:
                self._memory.make_databases(wish)
            case Remedy.RELINK:
                serving = self._memory.serving.get(wish.deployment_id, 0)
                if serving <= wish.number or not self._runs(wish, serving):
                    self._memory.serving[wish.deployment_id] = wish.number
            case Remedy.END:
                self._memory.end(wish.deployment_id, lambda replica: replica.name in treatment.targets)
            case Remedy.REBUILD:
                self._rebuild(wish)
            case Remedy.FIT | Remedy.AWAIT | Remedy.RESTART:
                for replica in self._started(wish):
                    replica.state, replica.healthy = "running", True
            case Remedy.WAKE:
                pass
        injured = self._memory.injuries.facts.get(wish.deployment_id, {})
        for field, name in list(injured):
            met = not treatment.targets or name in treatment.targets
            if met and heals(treatment.remedy, injured[field, name]):
                del injured[field, name]

    def _started(self, wish: Wish) -> list[Replica]:
        if wish.image not in self._memory.images:
            raise Refused(Code.IMAGE_GONE, f"Image {wish.image} is not on this plane.")
        return self._memory.start(wish)

    def _runs(self, wish: Wish, number: int) -> bool:
        replicas = self._memory.replicas.get(wish.deployment_id, {}).values()
        return any(replica.revision == number for replica in replicas)

    def _rebuild(self, wish: Wish) -> None:
        assert wish.image is not None, "only an image that is known can be missed"
        lost = self._memory.injuries.lost.pop(wish.image, None)
        if lost is not None:
            self._memory.images[wish.image] = lost


def heals(remedy: Remedy, fact: Fact) -> bool:
    """Whether a remedy puts right what looks so."""
    if fact.seen == SUSPENDED:
        return remedy in (Remedy.WAKE, Remedy.RESTART)
    return remedy is REMEDIES[fact.field] or (
        remedy is Remedy.RESTART and REMEDIES[fact.field] in (Remedy.FIT, Remedy.AWAIT)
    )


def short_in(resource: Resource) -> str:
    """The eight digits in a natural name."""
    digits = [part for part in resource.name.replace("_", "-").split("-") if len(part) == 8 and is_hex(part)]
    return digits[-1] if digits else ""


def is_hex(part: str) -> bool:
    return all(digit in "0123456789abcdef" for digit in part)
