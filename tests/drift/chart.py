"""What is told of a deployment: its drift resource and its timeline, waited for and never slept on."""

import asyncio
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.drift.patient import Patient
from workflows.drift import Field

TICK = 0.1


@dataclass
class Told:
    """One difference as it was told."""

    field: str
    name: str
    seen: str
    noticed_at: float
    found_at: float
    closed_at: float | None
    outcome: str
    treatment: str
    evidence: str
    severity: str

    @property
    def key(self) -> tuple[str, str, float]:
        return self.field, self.name, self.found_at

    @property
    def sentence(self) -> str:
        return f"{self.field} {self.name}: {self.seen}"


class Chart:
    """One deployment's account, from a moment on."""

    def __init__(self, patient: Patient) -> None:
        self._patient = patient
        self._known: set[tuple[str, str, float]] = set()
        self.all: list[Told] = []
        """Everything told since `begin`, as it was last seen."""

    async def begin(self) -> None:
        """What was told before does not count."""
        self._known = {one.key for one in _listed(await self.now())}
        self.all = []

    async def now(self) -> dict[str, Any]:
        path = f"/v2/deployments/{self._patient.id}/drift?limit=50"
        found: dict[str, Any] = await self._patient.yard.call("GET", path)
        return found

    async def told(self, fields: Iterable[Field], seen: str, evidence: str, limit: float) -> Told:
        """The first difference of one of these fields that looks like this."""
        wanted, deadline = {str(field) for field in fields}, time.monotonic() + limit
        looked = dict[tuple[str, str], Told]()
        while True:
            for one in await self.news():
                looked[one.sentence, one.evidence] = one
            for one in looked.values():
                if one.field in wanted and re.search(seen, one.seen) and re.search(evidence, one.evidence):
                    return one
            assert time.monotonic() < deadline, (
                f"not told within {limit:.0f} s as {wanted} {seen!r} {evidence!r}: "
                f"{[one.sentence for one in looked.values()]}"
            )
            await asyncio.sleep(TICK)

    async def news(self) -> list[Told]:
        """Every difference that was found since."""
        self.all = [one for one in _listed(await self.now()) if one.key not in self._known]
        return self.all

    async def until_swept(self, times: int = 2) -> None:
        """So many sweeps of the plane end from now on; the last of them began after this was called."""
        deadline, seen = time.monotonic() + 60, set[str]()
        while len(seen) <= times:
            now = await self._patient.yard.call("GET", "/v2/listeners/local/drift")
            seen |= {now["swept"]["at"]} if now["swept"] else set()
            assert time.monotonic() < deadline, f"the plane is not swept: {now['swept']}"
            await asyncio.sleep(TICK)

    async def until_state(self, state: str, limit: float) -> None:
        deadline = time.monotonic() + limit
        while (now := await self.now())["state"] != state:
            assert time.monotonic() < deadline, f"not {state} within {limit:.0f} s: {_short(now)}"
            await asyncio.sleep(TICK)

    async def steady(self, limit: float) -> None:
        """Nothing differs, and nothing is being done about anything."""
        deadline = time.monotonic() + limit
        while True:
            now = await self.now()
            if now["state"] == "steady" and not now["open"]:
                await self.news()
                return
            assert time.monotonic() < deadline, f"not steady within {limit:.0f} s: {_short(now)}"
            await asyncio.sleep(TICK)


def _listed(now: dict[str, Any]) -> list[Told]:
    found = {one.key: one for one in map(_read, [*now["recent"]["resources"], *now["open"]])}
    return list(found.values())


def _read(one: dict[str, Any]) -> Told:
    return Told(
        field=one["field"],
        name=one["name"],
        seen=one["seen"],
        noticed_at=_moment(one["noticed_at"]),
        found_at=_moment(one["found_at"]),
        closed_at=_moment(one["closed_at"]) if one["closed_at"] else None,
        outcome=one["outcome"] or "",
        treatment=one["treatment"] or "",
        evidence=one["evidence"] or "",
        severity=one["severity"],
    )


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _short(now: dict[str, Any]) -> dict[str, Any]:
    return {**now, "recent": [_read(one).sentence for one in now["recent"]["resources"][:3]]}
