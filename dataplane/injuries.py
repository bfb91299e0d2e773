"""What a test can do to a plane that only remembers: everything that can happen to a real one."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from workflows.causes import Code
from workflows.drift import Fact, Field
from workflows.shapes import Image, Replica, Resource, ResourceKind

if TYPE_CHECKING:
    from dataplane.memory import Memory

Key = tuple[Field, str]


class Injuries:
    """Inflicts them, and knows which are not healed. Every injury is news for who watches; a repair is not."""

    def __init__(self, memory: "Memory") -> None:
        self._memory = memory
        self.facts: defaultdict[UUID, dict[Key, Fact]] = defaultdict(dict)
        """What looks otherwise than it was made."""
        self.deaths: defaultdict[UUID, list[Fact]] = defaultdict(list)
        """What is over already; told once by the next look."""
        self.lost: dict[str, Image] = {}
        self.strays: list[Resource] = []
        self.changed: set[UUID] = set()
        self.news = asyncio.Event()
        self._lasting: defaultdict[UUID, list[Callable[[], None]]] = defaultdict(list)

    def lose_replica(self, deployment_id: UUID, index: int = 0) -> None:
        """The process is gone, and whoever supervises does not know of it any more."""
        self._memory.end(deployment_id, lambda replica: replica.index == index)
        self._tell(deployment_id)

    def lose_databases(self, deployment_id: UUID, kind: ResourceKind | None = None) -> None:
        """Those of one kind, or all."""
        owned = self._memory.owned[deployment_id]
        owned -= {one for one in owned if kind is None or one[0] is kind}
        self._tell(deployment_id)

    def lose_route(self, deployment_id: UUID) -> None:
        self._memory.serving.pop(deployment_id, None)
        self._tell(deployment_id)

    def lead_astray(self, deployment_id: UUID, number: int) -> None:
        """The gateway leads to another revision."""
        self._memory.serving[deployment_id] = number
        self._tell(deployment_id)

    def lose_image(self, digest: str) -> None:
        self.lost[digest] = self._memory.images.pop(digest)
        for deployment_id, replicas in self._memory.replicas.items():
            if any(self._memory.started_with[name][0] == digest for name in replicas):
                self._tell(deployment_id)

    def add_replica(self, deployment_id: UUID, name: str, number: int = 0) -> None:
        """A server that no revision asks for."""
        stranger = Replica(name=name, revision=number, index=99, state="running", healthy=True)
        self._memory.replicas[deployment_id][name] = stranger
        self._memory.started_with[name] = (None, "")
        self._tell(deployment_id)

    def add_stray(self, stray: Resource) -> None:
        """Something of ours that no record knows."""
        self.strays.append(stray)

    def hurt(self, deployment_id: UUID, field: Field, name: str, seen: str, **told: object) -> None:
        """One aspect of one thing looks so from now on, until a remedy for it comes."""
        fact = Fact(field=field, name=name, seen=seen, since=datetime.now(UTC))
        self.facts[deployment_id][field, name] = fact.model_copy(update=told)
        self._tell(deployment_id)

    def die_and_return(self, deployment_id: UUID, name: str, code: Code, evidence: str) -> None:
        """A process died and whoever supervises started it again."""
        fact = Fact(field=Field.PROCESS, name=name, seen="died", past=True, code=code, evidence=evidence)
        self.deaths[deployment_id].append(fact)
        self._tell(deployment_id)

    def lasting(self, deployment_id: UUID, injury: Callable[[], None]) -> None:
        """Inflict it, now and again after every repair."""
        self._lasting[deployment_id].append(injury)
        injury()

    def end_lasting(self, deployment_id: UUID) -> None:
        """Whatever came back does not come back any more."""
        self._lasting.pop(deployment_id, None)

    def after_repair(self, deployment_id: UUID) -> None:
        """What comes back comes back; it was the repair that changed something, so nobody is told."""
        before = set(self.changed)
        for injury in self._lasting.get(deployment_id, []):
            injury()
        self.changed = before

    def forget(self, deployment_id: UUID) -> None:
        """The deployment is gone."""
        for what in (self.facts, self.deaths, self._lasting):
            what.pop(deployment_id, None)

    def taken(self) -> set[UUID]:
        """What changed since this was asked last."""
        taken, self.changed = self.changed, set()
        self.news.clear()
        return taken

    def _tell(self, deployment_id: UUID) -> None:
        self.changed.add(deployment_id)
        self.news.set()
