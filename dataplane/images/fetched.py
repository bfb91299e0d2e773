"""An uploaded archive while it is looked at: in memory, because it may hold the project's variables.

On disk it would lie in the open, and be left there by a kill.
"""

import contextlib
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from dataplane.images.inflate import CHUNK, Halt, Halted
from dataplane.images.threads import in_thread
from dataplane.plane import Sources
from workflows.causes import Code, Refused
from workflows.shapes import Archive, Wish

HERE, THERE = "on this machine", "in the registry"
"""Where a plane has its images."""


def archive_of(wish: Wish, place: str) -> Archive:
    """A wish's source, to make its image from. Raises `Refused` where there is none; `place` is where images are."""
    if wish.archive is None:
        raise Refused(
            Code.IMAGE_GONE if wish.image else Code.SOURCE_MISSING,
            f"The image {wish.image} is not {place} any more, and its source is not known."
            if wish.image
            else "The revision has no source.",
            "Deploy the source again.",
        )
    return wish.archive


@contextlib.asynccontextmanager
async def fetched(sources: Sources, archive: Archive) -> AsyncIterator[BinaryIO]:
    """The archive, complete and as it was uploaded."""
    with os.fdopen(os.memfd_create("archive", os.MFD_CLOEXEC), "rb") as file:
        await sources.fetch(archive.upload_id, Path(f"/proc/{os.getpid()}/fd/{file.fileno()}"))
        seen = await in_thread(lambda halt: _digest(file, halt))
        if seen != archive.sha256.removeprefix("sha256:"):
            raise Refused(
                Code.ARCHIVE_UNREADABLE,
                "The archive is not what was uploaded: its digest is another one.",
                "Deploy again to upload it anew.",
            )
        yield file


def _digest(file: BinaryIO, halt: Halt) -> str:
    file.seek(0)
    whole = hashlib.sha256()
    while chunk := file.read(CHUNK):
        if halt():
            raise Halted
        whole.update(chunk)
    return whole.hexdigest()
