"""How one deployment is looked at, part by part and side by side, wherever it runs: a part that cannot be asked at
the moment is not looked at, and what is not looked at is not held against anybody.
"""

import asyncio
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

import structlog

from dataplane.flavours import flavour
from dataplane.local.replica import AWAY
from dataplane.plane import Tell
from workflows.accounts import Sighted
from workflows.drift import AS_WISHED, PRESENT, RUNNING, Fact, Field
from workflows.mending import Treatment
from workflows.shapes import Wish

log = structlog.get_logger()

Fields = frozenset[Field]
Found = Mapping[Fields, list[Fact] | None]
"""What was seen of each part; None of one that could not be asked."""
Looks = dict[Fields, asyncio.Task[list[Fact] | None]]

OF_IMAGES = frozenset({Field.BUNDLE})
OF_POSTGRES = frozenset({Field.DATABASE, Field.ROLE})
OF_REDIS = frozenset({Field.REDIS})
OF_DATABASES = frozenset(
    {
        Field.DATABASE, Field.ROLE, Field.PASSWORD, Field.GRANTS, Field.CONNECTIONS, Field.EXTENSION,
        Field.REDIS, Field.REDIS_PASSWORD, Field.PERSISTENCE,
    }
)  # fmt: skip
WELL = (AS_WISHED, PRESENT, RUNNING)
LOOK_SECONDS = 15.0
"""Whoever takes longer than this to be looked at is as good as away."""


class Shown(Protocol):
    """A part of every deployment; raises when there is nobody to ask."""

    async def facts(self, wish: Wish) -> list[Fact]: ...


class Treats(Protocol):
    """Who does what can be done."""

    async def treat(self, wish: Wish, treatments: Sequence[Treatment], tell: Tell) -> None: ...


class Look:
    """Looks at parts. `fatal`: what nobody can look past."""

    def __init__(self, postgres: Shown, redis: Shown, fatal: tuple[type[Exception], ...] = ()) -> None:
        self._postgres = postgres
        self._redis = redis
        self._fatal = fatal

    def part(self, wish: Wish, looking: Awaitable[list[Fact]]) -> asyncio.Task[list[Fact] | None]:
        """It is looked at from now on."""
        return asyncio.create_task(self._part(wish, looking))

    def databases(self, wish: Wish) -> Looks:
        """Those of them that are ours are looked at from now on."""
        parts: Looks = {}
        if flavour(wish.flavour).databases and not wish.custom_postgres:
            parts[OF_POSTGRES] = self.part(wish, self._postgres.facts(wish))
        if flavour(wish.flavour).databases and not wish.custom_redis:
            parts[OF_REDIS] = self.part(wish, self._redis.facts(wish))
        return parts

    async def _part(self, wish: Wish, looking: Awaitable[list[Fact]]) -> list[Fact] | None:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                return await looking
        except self._fatal:
            raise
        except Exception as error:  # whatever one part stumbles over, the others are seen
            log.warning("could not look", deployment=str(wish.deployment_id), error=type(error).__name__)
            return None


def sighted(at: datetime, wish: Wish, found: Found, *, blind: bool) -> Sighted:
    """All that was seen. `blind`: a part was not seen for want of which servers may answer less than whole."""
    looked = {field for fields, seen in found.items() if seen is not None for field in fields}
    facts = [*_all(found)]
    if blind or not _reachable(wish, facts):
        # Without its databases no server answers whole: that is theirs to be told of.
        facts = [one for one in facts if not (one.field is Field.ANSWER and one.seen == AWAY)]
    return Sighted(at=at, looked=sorted(looked), facts=facts)


def _all(found: Found) -> Iterator[Fact]:
    for seen in found.values():
        yield from seen or ()


def _reachable(wish: Wish, facts: Sequence[Fact]) -> bool:
    """Whether nothing is wrong with its databases as far as anybody here can tell."""
    if wish.custom_postgres or wish.custom_redis:
        return False
    return all(one.seen in WELL for one in facts if one.field in OF_DATABASES)
