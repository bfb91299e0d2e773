"""A place where servers run, as five small ports. `local` and `memory` implement them; the activities
know only these. Implementations raise `workflows.causes.Refused` for what trying again cannot heal and
any other exception for what may pass.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import UUID

from workflows.accounts import Sighted
from workflows.mending import Treatment
from workflows.shapes import Image, Plan, Resource, Sighting, Wish
from workflows.surveys import SurveyPage

Tell = Callable[[str], None]
"""Called with a sentence whenever something moved; shows up as the activity's heartbeat."""


class Sources(Protocol):
    """Where uploaded archives come from."""

    async def fetch(self, upload_id: UUID, to: Path) -> None:
        """Write the archive to `to`, in the open; raises `Refused(SOURCE_MISSING)` when there is none."""


class Images(Protocol):
    """From a source tree to an image named by digest."""

    async def preflight(self, wish: Wish) -> Plan: ...

    async def build(self, wish: Wish, tell: Tell) -> Image: ...

    async def collect(self, keep: set[str]) -> int: ...


class Databases(Protocol):
    """A database, its role and a Redis for one deployment: made, found, put right, dropped."""

    async def provision(self, wish: Wish) -> None: ...

    async def remove(self, wish: Wish) -> None: ...

    async def observe(self, wish: Wish) -> Sighting:
        """Only `resources` is filled: what exists of database, role and Redis."""


class Servers(Protocol):
    """Replicas of LangGraph Servers and the gateway in front of them."""

    async def apply(self, wish: Wish) -> None: ...

    async def until_ready(self, wish: Wish, tell: Tell) -> None: ...

    async def prove(self, wish: Wish) -> None: ...

    async def switch(self, wish: Wish) -> None: ...

    async def retire(self, wish: Wish, tell: Tell) -> None:
        """End every replica of a revision with a lower number than the wish's."""

    async def discard(self, wish: Wish) -> None:
        """End every replica of exactly this revision; the gateway, if it leads there, leads nowhere after."""

    async def remove(self, wish: Wish) -> None: ...

    async def observe(self, wish: Wish) -> Sighting:
        """Replicas, where the gateway leads, and the route and processes as `resources`."""


class Upkeep(Protocol):
    """Seeing what has become of what was made, and putting it right."""

    async def sight(self, wish: Wish) -> Sighted:
        """Everything of one deployment, as deep as it goes. Changes nothing; an answer within seconds."""

    async def repair(self, wish: Wish, treatments: Sequence[Treatment], tell: Tell) -> None:
        """Each in turn; returns once replicas it started answer, or `Refused` when they never will."""

    def observe_all(self) -> AsyncIterator[SurveyPage]:
        """Everything of ours on the plane, cheaply and in bulk: pages in order that leave no range out."""

    def watch(self) -> AsyncIterator[set[UUID]]:
        """Deployments that changed and not by our own doing, a set whenever there are some. What changed
        while nobody watched comes first. An empty set is a sign of life."""

    async def remove_orphan(self, orphan: Resource) -> None:
        """Take away one thing that no record knows; `holds_data` says that this was asked for."""


@dataclass(frozen=True)
class Plane:
    """One data plane: its name and its ports."""

    name: str
    images: Images
    databases: Databases
    servers: Servers
    upkeep: Upkeep
