"""What planes say and fetch: log lines in, sources out.

Never for callers: the gateway answers 404 here, and a plane shows its own token, not a workspace's key.
"""

import asyncio
import hmac
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated, BinaryIO
from uuid import UUID

from fastapi import APIRouter, Depends, Header
from fastapi.responses import StreamingResponse

from api.needs import House, Session
from api.problems import Missing, Unauthenticated
from records import line, upload
from records.line import LogKind, NewLine
from records.upload import UploadState
from sealing import Keyring, Unsealable
from workflows.lines import TOKEN_HEADER, Line, Lines, Taken


def plane_only(house: House, token: Annotated[str, Header(alias=TOKEN_HEADER)] = "") -> None:
    """Let nobody in but a data plane."""
    expected = house.settings.plane_token.get_secret_value()
    if not expected or not hmac.compare_digest(expected.encode(), token.encode()):
        raise Unauthenticated(f"This door is for data planes; {TOKEN_HEADER} is missing or wrong.")


router = APIRouter(prefix="/internal/v1", dependencies=[Depends(plane_only)])


@router.post("/lines")
async def take(body: Lines, house: House) -> Taken:
    """Put log lines on record. A deployment's lines are one transaction; whatever is sent again is known."""
    taken = Taken()
    async with house.sessions() as session:
        places = {(sent.deployment, sent.number) for sent in body.lines}
        owners = await line.owners(session, places)
    batches: dict[UUID, list[NewLine]] = {}
    for sent in body.lines:
        if (owner := owners.get((sent.deployment, sent.number))) is None:
            taken.dropped += 1
        else:
            batches.setdefault(owner[0], []).append(_new(sent, owner[1]))
    for deployment_id, lines in batches.items():
        async with house.sessions.begin() as session:
            stored = await line.insert_lines(session, deployment_id, lines)
        if stored is None:
            taken.dropped += len(lines)
        else:
            taken.stored += stored
            taken.known += len(lines) - stored
    return taken


@router.get("/sources/{upload_id}")
async def source(upload_id: UUID, house: House, session: Session) -> StreamingResponse:
    """The archive as it was uploaded, opened on the way. A broken one breaks the answer off: its length and
    digest are told first, so a plane cannot take a part for the whole."""
    row = await upload.get(session, upload_id)
    if row is None or row.state is not UploadState.STORED:
        raise Missing(f"The source archive {upload_id} was never uploaded.")
    archive = Archive(house.settings.home / "uploads" / str(upload_id), house.keyring, str(upload_id))
    try:
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


def _new(sent: Line, revision_id: UUID) -> NewLine:
    return NewLine(
        kind=LogKind(sent.kind),
        at=sent.at,
        message=sent.message,
        stream=sent.stream,
        position=sent.position,
        level=sent.level,
        revision_id=revision_id,
        replica=sent.replica,
    )
