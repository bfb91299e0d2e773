"""The sweep over wishes: whatever a lost nudge, a lost workflow or an outage left waiting is nudged again.

It compares rows, not planes; nothing here decides what is to be done, a nudge says only *look again*.
"""

import asyncio
from datetime import timedelta
from typing import Protocol

import structlog

from records import drift, line, waiting
from records.base import now
from records.deployment import Deployment
from records.session import Sessions
from records.waiting import Waiting
from workflows.accounts import Notice
from workflows.shapes import Swept


class Nudge(Protocol):
    """The way to a deployment's workflow."""

    async def __call__(self, row: Deployment, /) -> None:
        """Signal-with-start: look."""

    async def inspect(self, row: Deployment, notice: Notice, /) -> None:
        """Signal-with-start: look at the plane."""

    async def alive(self, row: Deployment, /) -> bool:
        """Whether it runs."""


KEEP_DRIFT = timedelta(days=90)
"""So long what differed once stays on record."""
AT_ONCE = 16
"""How many workflows are asked for at the same time."""
NAMED = 3
"""How many deployments the sentence names; the rest is a number."""

log = structlog.get_logger()


class Sweep:
    """Finds deployments of one plane that nobody looked at in time, and drops what is on record past its time."""

    def __init__(
        self,
        sessions: Sessions,
        nudge: Nudge,
        *,
        patience: timedelta,
        stuck: timedelta,
        keep_lines: timedelta,
    ) -> None:
        self._sessions = sessions
        self._nudge = nudge
        self._patience = patience
        self._stuck = stuck
        self._keep_lines = keep_lines

    async def run(self, plane: str) -> Swept:
        """Nudge them all; one that cannot be nudged does not keep the others waiting."""
        async with self._sessions() as session:
            living = await waiting.living(session, plane)
            late = await waiting.overdue(session, plane, patience=self._patience, stuck=self._stuck)
            busy = await waiting.under_way(session, plane)
        async with self._sessions.begin() as session:
            await line.forget(session, now() - self._keep_lines)
            await drift.forget(session, plane, now() - KEEP_DRIFT)
        told = {found.deployment.id for found in late}
        lost = await self._lost([found.deployment for found in busy if found.deployment.id not in told])
        waits = [(found.deployment, f"waited {_seconds(found)} s") for found in late]
        waits += [(row, "had no workflow") for row in lost]
        nudged, failed = [], 0
        for row, why in waits:
            try:
                await self._nudge(row)
            except Exception:
                failed += 1
                log.exception("nudge failed", deployment=str(row.id))
            else:
                nudged.append(f"{row.name} {why}")
        return Swept(deployments=living, nudged=len(nudged), sentence=_sentence(living, nudged, failed))

    async def _lost(self, rows: list[Deployment]) -> list[Deployment]:
        """Those of them that nobody is at work on: their workflow was terminated, or never heard of."""
        turns = asyncio.Semaphore(AT_ONCE)

        async def alive(row: Deployment) -> bool:
            async with turns:
                return await self._nudge.alive(row)

        found = await asyncio.gather(*(alive(row) for row in rows), return_exceptions=True)
        for row, answer in zip(rows, found, strict=True):
            if isinstance(answer, Exception):
                log.warning("workflow could not be asked for", deployment=str(row.id), error=str(answer))
        return [row for row, answer in zip(rows, found, strict=True) if answer is False]


def _seconds(found: Waiting) -> int:
    return round((now() - found.since).total_seconds())


def _sentence(living: int, nudged: list[str], failed: int) -> str:
    """Such as "412 deployments, 1 nudged: my-agent waited 70 s"."""
    sentence = f"{living} deployment{'' if living == 1 else 's'}, {len(nudged)} nudged"
    if nudged:
        more = [f"{len(nudged) - NAMED} more"] if len(nudged) > NAMED else []
        sentence += ": " + ", ".join(nudged[:NAMED] + more)
    return f"{sentence}; {failed} could not be nudged" if failed else sentence
