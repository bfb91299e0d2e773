"""Planes that fall silent: marked as offline in the background, so that a glance at a row tells who is there.

It is one statement that changes nothing twice, so any number of apis may do it at once. Silence counts only
while somebody listened: after a start or an outage of the records every plane gets its time to be heard.
"""

import asyncio
from datetime import datetime, timedelta

import structlog

from api.problems import database_away, traced
from records import plane
from records.base import now
from records.session import Sessions

SILENT = timedelta(seconds=20)
"""A plane beats every five seconds."""
EVERY = 3.0
log = structlog.get_logger()


class Silence:
    """Listens for planes that say nothing any more."""

    def __init__(self, sessions: Sessions, silent: timedelta = SILENT, every: float = EVERY) -> None:
        self._sessions = sessions
        self._silent = silent
        self._every = every
        self._listening_since = now()

    async def keep_listening(self) -> None:
        """For ever; an absent database only means that nobody was heard meanwhile."""
        while True:
            try:
                await self.listen(now())
            except Exception as error:
                self._listening_since = now()
                if not database_away(error):
                    log.error("could not see which planes are silent", **traced(error))  # noqa: TRY400
            await asyncio.sleep(self._every)

    async def listen(self, at: datetime) -> list[str]:
        """The planes that are known to be silent from this moment on."""
        if at - self._silent < self._listening_since:
            return []
        async with self._sessions.begin() as session:
            silent = await plane.mark_offline(session, at - self._silent)
        for name in silent:
            log.warning("plane is silent", plane=name, silent_s=round(self._silent.total_seconds()))
        return silent
