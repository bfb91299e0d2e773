"""Archives on disk: sealed while they arrive, whole or not there at all.

A file is written beside its place and renamed when the last byte is on disk, so a reader never meets half
an archive and a caller who hangs up leaves nothing behind. Several apis share either the disk or, when the settings
say so, the records: then an archive is put on record as it is kept, and this disk only holds copies of what was
asked for here.
"""

import asyncio
import hashlib
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.problems import TooLarge, Unacceptable
from records import part
from sealing import FRAME, Keyring

GZIP = b"\x1f\x8b"
PARTIAL = ".partial-"


@dataclass(frozen=True)
class Arrived:
    """A whole archive, still beside its place."""

    upload_id: UUID
    partial: Path
    place: Path
    size: int
    sha256: str
    recorded: bool

    async def keep(self, session: AsyncSession) -> None:
        """Put it in its place, in the transaction that says it is stored; from then on it survives a power cut."""
        if self.recorded:
            await part.replace(session, self.upload_id, _read(self.partial))
        await asyncio.to_thread(self._keep)

    def _keep(self) -> None:
        os.replace(self.partial, self.place)
        folder = os.open(self.place.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class Storage:
    """Where archives are kept, one file an upload."""

    def __init__(self, folder: Path, keyring: Keyring, most: int, *, recorded: bool = False) -> None:
        self._folder = folder
        self._keyring = keyring
        self._most = most
        self._recorded = recorded

    def prepare(self) -> None:
        """Make the folder, and clear what an earlier process left unfinished."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in self._folder.glob(f"*{PARTIAL}*"):
            left.unlink(missing_ok=True)

    @asynccontextmanager
    async def receive(self, upload_id: UUID, chunks: AsyncIterator[bytes]) -> AsyncIterator[Arrived]:
        """Take an archive in; unless it is kept within the block, nothing of it stays."""
        partial = self._beside(upload_id)
        try:
            with _private(partial) as file:
                size, sha256 = await self._write(file, str(upload_id), chunks)
            yield Arrived(upload_id, partial, self._place(upload_id), size, sha256, self._recorded)
        finally:
            partial.unlink(missing_ok=True)

    async def find(self, session: AsyncSession, upload_id: UUID) -> Path:
        """Where a stored archive lies, still sealed; one that only the records have is copied here first. Raises
        `FileNotFoundError`."""
        place = self._place(upload_id)
        if self._recorded and not await asyncio.to_thread(place.exists):
            partial = self._beside(upload_id)
            try:
                with _private(partial) as file:
                    async for sealed in part.read(session, upload_id):
                        await asyncio.to_thread(file.write, sealed)
                    if not file.tell():
                        raise FileNotFoundError(place.name)
                os.replace(partial, place)
            finally:
                partial.unlink(missing_ok=True)
        return place

    def _place(self, upload_id: UUID) -> Path:
        return self._folder / str(upload_id)

    def _beside(self, upload_id: UUID) -> Path:
        return self._folder / f"{upload_id}{PARTIAL}{secrets.token_hex(4)}"

    async def _write(self, file: BinaryIO, owner: str, chunks: AsyncIterator[bytes]) -> tuple[int, str]:
        digest, size, position, buffer = hashlib.sha256(), 0, 0, bytearray()

        def write(chunk: bytes) -> None:
            digest.update(chunk)
            file.write(self._keyring.seal_frame(chunk, owner, position))

        async for chunk in chunks:
            size += len(chunk)
            if size > self._most:
                raise TooLarge(
                    f"The archive is larger than {self._most:,} bytes, the most that is taken here."
                )
            buffer += chunk
            if len(buffer) >= len(GZIP) and position == 0 and not buffer.startswith(GZIP):
                raise Unacceptable("The body is not a gzip file; send the source as a .tar.gz archive.")
            while len(buffer) >= FRAME:
                await asyncio.to_thread(write, bytes(buffer[:FRAME]))
                del buffer[:FRAME]
                position += 1
        if size == 0:
            raise Unacceptable("The body is empty; send the source as a .tar.gz archive.")
        if position == 0 and not buffer.startswith(GZIP):
            raise Unacceptable("The body is not a gzip file; send the source as a .tar.gz archive.")
        await asyncio.to_thread(write, bytes(buffer))
        await asyncio.to_thread(_sync, file)
        return size, digest.hexdigest()


async def _read(path: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(path.open, "rb") as file:
        while sealed := await asyncio.to_thread(file.read, part.SIZE):
            yield sealed


def _private(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
