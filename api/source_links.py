"""Archives for builds: a plane asks for an address, whoever holds it fetches with it once.

A build runs what a project says, so it gets no plane's token and no way to any other archive; what it gets is used
up before the project has a say.
"""

from uuid import UUID

from fastapi import APIRouter, Depends
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from api import archives
from api.internal import Speaker, owned, plane_only
from api.needs import House, Session
from api.problems import Missing
from records import link, upload
from records.upload import UploadState

PLACE = "/internal/v1/links"
router = APIRouter()


class SourceLink(BaseModel):
    """Where an archive is to be had, below this door's address."""

    path: str


@router.post("/internal/v1/sources/{upload_id}/links", status_code=201, dependencies=[Depends(plane_only)])
async def lend(upload_id: UUID, speaker: Speaker, session: Session) -> SourceLink:
    """An address for one archive: good once, and for ten minutes."""
    async with session.begin():
        await owned(session, speaker, upload_id)
        row = await upload.get(session, upload_id)
        if row is None or row.state is not UploadState.STORED:
            raise Missing(f"The source archive {upload_id} was never uploaded.")
        return SourceLink(path=f"{PLACE}/{await link.issue(session, upload_id)}")


@router.get(PLACE + "/{token}")
async def fetch(token: str, house: House, session: Session) -> StreamingResponse:
    """The archive. Whoever breaks off has used the address up all the same."""
    async with session.begin():
        upload_id = await link.take(session, token)
    if upload_id is None:
        raise Missing("This address leads nowhere, or does no longer: it was good once, for ten minutes.")
    return await archives.sent(house, session, upload_id)
