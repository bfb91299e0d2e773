"""The sweep over wishes: whatever a lost nudge, a crash or an outage left waiting is nudged again.

It compares rows, not planes; nothing here decides what is to be done, a nudge says only *look again*.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog

from records import line, waiting
from records.base import now
from records.deployment import Deployment
from records.session import Sessions
from records.waiting import Waiting
from workflows.shapes import Swept

Nudge = Callable[[Deployment], Awaitable[None]]
"""Signal-with-start of the deployment's workflow: look."""

NAMED = 3
"""How many deployments the sentence names; the rest is a number."""

log = structlog.get_logger()


class Sweep:
    """Finds deployments of one plane that nobody looked at in time, and drops log lines past their time."""

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
        async with self._sessions.begin() as session:
            await line.forget(session, now() - self._keep_lines)
        nudged, failed = [], 0
        for found in late:
            try:
                await self._nudge(found.deployment)
            except Exception:
                failed += 1
                log.exception("nudge failed", deployment=str(found.deployment.id))
            else:
                nudged.append(found)
        return Swept(deployments=living, nudged=len(nudged), sentence=_sentence(living, nudged, failed))


def _sentence(living: int, nudged: list[Waiting], failed: int) -> str:
    """Such as "412 deployments, 1 nudged: my-agent waited 70 s"."""
    sentence = f"{living} deployment{'' if living == 1 else 's'}, {len(nudged)} nudged"
    waits = [
        f"{found.deployment.name} waited {round((now() - found.since).total_seconds())} s" for found in nudged
    ]
    if waits:
        more = [f"{len(waits) - NAMED} more"] if len(waits) > NAMED else []
        sentence += ": " + ", ".join(waits[:NAMED] + more)
    return f"{sentence}; {failed} could not be nudged" if failed else sentence
