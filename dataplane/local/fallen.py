"""How a deployment's Valkey died that is back already: its supervisor starts it again within moments, so a look
at what runs would never tell of it."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from dataplane.local.deaths import WORDS, Death, Deaths, tail
from dataplane.local.diagnosis import last_lines
from dataplane.local.seen import LOOPING
from dataplane.local.sight import TOLD_FOR
from dataplane.local.slots import Slots
from workflows import names
from workflows.drift import STARTING, Fact, Field
from workflows.shapes import Wish


class Valkeys(Protocol):
    """What Valkeys look like now."""

    async def facts(self, wish: Wish) -> list[Fact]: ...


class Fallen:
    """The same, and how they came to be so."""

    def __init__(self, home: Path, valkeys: Valkeys, slots: Slots, deaths: Deaths) -> None:
        self._home = home
        self._valkeys = valkeys
        self._slots = slots
        self._deaths = deaths

    async def facts(self, wish: Wish) -> list[Fact]:
        found, name = await self._valkeys.facts(wish), names.redis(wish.deployment_id)
        since = await asyncio.to_thread(self._slots.since, names.short(wish.deployment_id))
        # Deaths before the door led here are the rollout's affair.
        earliest = max(datetime.now(UTC) - TOLD_FOR, datetime.fromtimestamp(since or 0, UTC))
        deaths = await self._deaths.since(earliest, name)
        return [*found, *await asyncio.to_thread(self._told, name, found, deaths)] if deaths else found

    def _told(self, name: str, found: Sequence[Fact], deaths: Sequence[Death]) -> list[Fact]:
        """A death that is not over gives what is seen its beginning."""
        now = next((fact for fact in found if fact.field is Field.REDIS), None)
        over = now is None or now.seen not in (STARTING, LOOPING)
        if now is not None and not over:
            now.since = deaths[-1].at
        log = tail(self._home / "logs" / f"{name}.log", WORDS)
        return [
            Fact(
                field=Field.REDIS,
                name=name,
                seen=one.how,
                since=one.at,
                past=True,
                evidence="\n".join(last_lines(log)),
            )
            for one in (deaths if over else deaths[:-1])
        ]
