"""/v2/deployments/{id}/events: the timeline, as pages or as a stream that goes on.

The stream asks the records again every half second and holds no connection in between. Ids rise in the
order of commits, so "what came after this id" misses nothing, also across a reconnect (`Last-Event-ID`).
"""

import asyncio
from collections.abc import AsyncIterator
from time import monotonic
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse

from api.needs import Caller, House, Page, Session
from api.parts import Parts
from api.problems import Unacceptable, database_away, no_deployment
from api.shapes import Event, Refusal, Resources
from records import deployment, event

router = APIRouter(
    tags=["events"], responses={code: {"model": Refusal} for code in (400, 401, 403, 404, 422)}
)
PAUSE = 0.5
QUIET = 15.0
"""A comment this often keeps proxies from taking a quiet stream for a dead one."""
BATCH = 100
STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}}}}


@router.get(
    "/v2/deployments/{deployment_id}/events",
    summary="Read or follow the timeline",
    response_model=Resources[Event],
    responses=STREAM,
)
async def timeline(
    deployment_id: UUID,
    caller: Caller,
    house: House,
    session: Session,
    page: Page,
    order: Annotated[Literal["asc", "desc"], Query(description="Oldest or newest first.")] = "asc",
    stream: Annotated[bool, Query(description="Follow, as server-sent events.")] = False,
    accept: Annotated[str, Header(description="`text/event-stream` follows, too.")] = "",
    last_event_id: Annotated[
        str | None, Header(alias="Last-Event-ID", description="Resume after it.")
    ] = None,
) -> Response | Resources[Event]:
    """Every change of a deployment and its revisions, with the reason. A page of them; or, with `stream=true`
    or `Accept: text/event-stream`, all of them and then each new one as it happens, until the deployment is
    gone."""
    if await deployment.get(session, caller.id, deployment_id) is None:
        raise no_deployment(deployment_id)
    if stream or "text/event-stream" in accept:
        lines = _follow(house, caller.id, deployment_id, _after(last_event_id))
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        return StreamingResponse(lines, media_type="text/event-stream", headers=headers)
    rows = await event.listed(
        session, deployment_id, limit=page.limit, offset=page.offset, newest_first=order == "desc"
    )
    return Resources(resources=[Event.of(row) for row in rows], offset=page.offset + len(rows))


def _after(last: str | None) -> int:
    if not last:
        return 0
    if not (last.isascii() and last.isdigit()) or len(last) > 18:
        raise Unacceptable("Last-Event-ID is not the id of an event of this stream.")
    return int(last)


async def _follow(house: Parts, workspace_id: UUID, deployment_id: UUID, after: int) -> AsyncIterator[str]:
    told = monotonic()
    while not house.closing.is_set():
        try:
            async with house.sessions() as session:
                rows = await event.listed(session, deployment_id, after=after, limit=BATCH)
                alive = bool(rows) or await deployment.get(session, workspace_id, deployment_id) is not None
        except Exception as error:
            # The client comes back by itself and resumes where it was.
            if database_away(error):
                return
            raise
        for row in rows:
            after = row.id
            yield f"id: {row.id}\nevent: {row.kind}\ndata: {Event.of(row).model_dump_json()}\n\n"
        if not alive:
            yield "event: gone\ndata: {}\n\n"
            return
        if rows:
            told = monotonic()
        elif monotonic() - told > QUIET:
            told = monotonic()
            yield ": still here\n\n"
        if len(rows) < BATCH:
            await _pause(house.closing)


async def _pause(closing: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(closing.wait(), PAUSE)
    except TimeoutError:
        return
