"""Source archives on their way in: an address that authorises itself, and the PUT behind it."""

import errno
import re
from collections.abc import AsyncIterator
from typing import Annotated
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.requests import ClientDisconnect

from api import sources, tickets
from api.bodies import UploadRequest
from api.deployments import held
from api.needs import Caller, House, Session
from api.problems import Conflict, Missing, TooLarge, Unacceptable, Unready
from api.shapes import Refusal, Stored, UploadTicket
from records import upload
from records.upload import AlreadyStored

router = APIRouter(tags=["uploads"], responses={code: {"model": Refusal} for code in (400, 403, 404)})
HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?")
PLACE = "/v2/uploads/"


@router.post("/v2/deployments/{deployment_id}/upload-url", summary="Ask where to upload a source archive")
async def upload_url(
    deployment_id: UUID,
    request: Request,
    caller: Caller,
    house: House,
    session: Session,
    body: UploadRequest | None = None,
) -> UploadTicket:
    """An address for one .tar.gz, good for an hour. Afterwards name its `object_path` as
    `source_revision_config.source_tarball_path` in a PATCH of the deployment."""
    async with session.begin():
        row = await held(session, caller, deployment_id)
        if row.source not in sources.BUILT:
            raise Unacceptable(
                f"upload-url is for sources that are built here; this deployment's is '{row.source}'."
            )
        ticket = await upload.issue(session, deployment_id, tickets.expiry())
    query = house.tickets.query(ticket.id, ticket.expires_at)
    return UploadTicket(
        upload_url=f"{_base(request, house.settings.public_url)}{PLACE}{ticket.id}?{query}",
        object_path=ticket.object_path,
    )


@router.put(PLACE + "{upload_id}", summary="Upload a source archive")
async def put(
    upload_id: UUID,
    request: Request,
    house: House,
    expires: Annotated[str | None, Query(description="As it was issued.")] = None,
    signature: Annotated[str | None, Query(description="As it was issued.")] = None,
) -> Stored:
    """The body is the archive itself. The signature in the address stands in for an API key. Repeating it
    with the same archive is fine; another archive needs another address."""
    house.tickets.check(upload_id, expires, signature)
    async with house.sessions() as session:
        if await upload.get(session, upload_id) is None:
            raise Missing("This upload's deployment is gone.")
    most = house.settings.upload_bytes
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > most:
        raise TooLarge(
            f"The archive is {int(announced):,} bytes long; {most:,} is the most that is taken here."
        )
    try:
        async with (
            house.storage.receive(upload_id, _body(request)) as arrived,
            house.sessions.begin() as session,
        ):
            if await upload.store(session, upload_id, size=arrived.size, sha256=arrived.sha256) is None:
                raise Missing("This upload's deployment is gone.")
            await arrived.keep(session)
    except AlreadyStored:
        raise Conflict("This address already took another archive; ask upload-url for a new one.") from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise Unready(
            "There is no disk space left here for the archive; free some and upload again."
        ) from error
    house.meters.uploaded.inc(arrived.size)
    return Stored(size=arrived.size, sha256=arrived.sha256)


async def _body(request: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect:
        raise Unacceptable("The upload broke off; nothing of it was kept.") from None


def _base(request: Request, public_url: str) -> str:
    """Where this caller reaches us: the public address, or the way it came if that was another (a port
    forward, a tunnel), since the PUT will take the same."""
    public = urlsplit(public_url)
    host = request.headers.get("host", "")
    prefix = "/api-host" if request.url.path.startswith("/api-host/") else ""
    if host == public.netloc or not HOST.fullmatch(host):
        return f"{public_url.rstrip('/')}{prefix}"
    return f"{request.url.scheme}://{host}{public.path.rstrip('/')}{prefix}"
