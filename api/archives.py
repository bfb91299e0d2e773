"""Source archives on their way out: opened frame by frame as they are sent."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from fastapi.responses import StreamingResponse
from sqlalchemy.ext.asyncio import AsyncSession

from api.parts import Parts
from api.problems import Missing
from records import upload
from records.upload import UploadState
from sealing import Keyring, Unsealable


async def sent(house: Parts, session: AsyncSession, upload_id: UUID) -> StreamingResponse:
    """The archive as it was uploaded. A broken one breaks the answer off: its length and digest are told first, so
    nobody can take a part for the whole."""
    row = await upload.get(session, upload_id)
    if row is None or row.state is not UploadState.STORED:
        raise Missing(f"The source archive {upload_id} was never uploaded.")
    try:
        archive = Archive(await house.storage.find(session, upload_id), house.keyring, str(upload_id))
        first = await asyncio.to_thread(archive.open)
    except FileNotFoundError:
        raise Missing(f"The source archive {upload_id} is not on disk any more.") from None
    except Unsealable:
        raise Missing(f"The source archive {upload_id} cannot be opened with the keys here.") from None
    headers = {"Content-Length": str(row.size), "X-Archive-Sha256": row.sha256 or ""}
    return StreamingResponse(archive.rest(first), media_type="application/gzip", headers=headers)


class Archive:
    """A sealed archive, read frame by frame in threads."""

    def __init__(self, path: Path, keyring: Keyring, owner: str) -> None:
        self._path = path
        self._keyring = keyring
        self._owner = owner
        self._file: BinaryIO | None = None
        self._frames: Iterator[bytes] = iter(())

    def open(self) -> bytes:
        """The first frame, so that what is wrong from the start is known before anything is answered."""
        self._file = self._path.open("rb")
        self._frames = self._keyring.open_frames(self._file, self._owner)
        try:
            return next(self._frames, b"")
        except Unsealable:
            self._file.close()
            raise

    async def rest(self, first: bytes) -> AsyncIterator[bytes]:
        """The first frame and all that follow."""
        assert self._file is not None
        try:
            frame = first
            while frame:
                yield frame
                frame = await asyncio.to_thread(next, self._frames, b"")
        finally:
            self._file.close()
