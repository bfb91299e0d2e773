"""Archives whose deployment is gone: taken off the disk in the background, at start and then now and again.

Rows go with their deployment in one statement; files cannot be part of that transaction, so somebody has to
look for what is left. A fresh file is spared, since it gets to its place just before its row says so.
"""

import asyncio
import time
from pathlib import Path
from uuid import UUID

import structlog

from api.problems import database_away, traced
from records import upload
from records.session import Sessions

EVERY = 600.0
FRESH = 300.0
log = structlog.get_logger()


async def keep_tidy(folder: Path, sessions: Sessions) -> None:
    """Tidy for ever; an absent database only postpones it."""
    while True:
        try:
            if removed := await tidy(folder, sessions):
                log.info("removed archives of gone deployments", files=removed)
        except Exception as error:
            if not database_away(error):
                log.error("could not tidy archives", **traced(error))  # noqa: TRY400
        await asyncio.sleep(EVERY)


async def tidy(folder: Path, sessions: Sessions, fresh: float = FRESH) -> int:
    """Remove the files that no row knows; how many there were."""
    found = await asyncio.to_thread(_older_than, folder, time.time() - fresh)
    if not found:
        return 0
    async with sessions() as session:
        gone = await upload.without_row(session, list(found))
    for upload_id in gone:
        found[upload_id].unlink(missing_ok=True)
    return len(gone)


def _older_than(folder: Path, moment: float) -> dict[UUID, Path]:
    found = {}
    for path in folder.iterdir():
        try:
            upload_id = UUID(path.name)
        except ValueError:
            continue
        if path.stat().st_mtime < moment:
            found[upload_id] = path
    return found
