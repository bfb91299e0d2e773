"""What the shared catalogs do not show: the insides of databases, each looked into by a connection of its own.

That costs some ten milliseconds each, so whoever watches looks into a few at a time, by turns.
"""

import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from psycopg import AsyncConnection, Error

from dataplane.postgres import contents
from workflows.drift import MISSING, PRESENT

SHARE = 0.02
"""Seconds after which no further one is begun in the same turn."""
AGAIN = 2.0
"""Seconds before one is looked into again."""


@dataclass(frozen=True)
class Inside:
    """What is wrong in there, in few words."""

    wrong: tuple[str, ...]
    extension: str | None
    """`PRESENT` or `MISSING`; None where the server has none to offer."""
    filled: bool


async def look_inside(connection: AsyncConnection, role: str) -> Inside:
    """What a connection to a role's database shows."""
    seen = await contents.overview(connection)
    lost = await contents.unusable(connection, role)
    wrong = [] if seen.public else ["without its schema public"]
    if lost:
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        wrong.append(f"without rights on {lost[0].kind} {lost[0].name}{more}")
    extension = (PRESENT if seen.extended else MISSING) if seen.available else None
    return Inside(tuple(wrong), extension, seen.filled)


class Insides:
    """What was last seen inside databases, by name."""

    def __init__(self, look: Callable[[str], Awaitable[Inside]]) -> None:
        self._look = look
        self._looked: dict[str, float] = {}
        self.seen: dict[str, Inside] = {}

    async def turn(self, databases: Collection[str]) -> None:
        """Look into those whose turn it is; `databases` are all that can be looked into now."""
        for gone in self._looked.keys() - set(databases):
            del self._looked[gone]
            self.seen.pop(gone, None)
        began = time.monotonic()
        for name in sorted(databases, key=lambda name: self._looked.get(name, 0.0)):
            now = time.monotonic()
            if now - began > SHARE or now - self._looked.get(name, 0.0) < AGAIN:
                return
            self._looked[name] = now
            try:
                self.seen[name] = await self._look(name)
            except (Error, OSError, TimeoutError):
                # Closed or dropped since it was listed: the shared catalogs will tell.
                self.seen.pop(name, None)
