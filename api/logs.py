"""Build and deploy logs: pages with a cursor that repeats and misses nothing, or a stream that goes on."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from time import monotonic
from typing import Annotated, Any, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Response
from fastapi.responses import StreamingResponse
from sqlalchemy.ext.asyncio import AsyncSession

from api.lines import MOST, LogEntry, LogItems, LogPage, LogQuery, LogRequest, LogSearch
from api.needs import Caller, House, Session
from api.parts import Parts
from api.problems import Unacceptable, database_away, no_deployment, no_revision
from api.shapes import Refusal
from records import deployment, line, revision
from records.base import now
from records.line import LogKind, Page, Wanted

router = APIRouter(tags=["logs"], responses={code: {"model": Refusal} for code in (401, 403, 404, 422)})
PAUSE = 0.5
QUIET = 15.0
LAST = timedelta(microseconds=999)
"""The end of a millisecond, from its beginning."""
SETTLED = timedelta(seconds=30)
"""So long after a build's end its last lines have arrived, as far as anything can."""
STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}}}}


class Question(NamedTuple):
    """What is asked of a log, and behind which line a stream goes on."""

    query: LogQuery
    last_event_id: str | None


def _question(
    query: Annotated[LogQuery, Query()],
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
) -> Question:
    return Question(query, last_event_id)


Asked = Annotated[Question, Depends(_question)]


@router.post("/v1/projects/{deployment_id}/revisions/{revision_id}/build_logs", summary="Read a build's log")
async def build_logs(
    deployment_id: UUID,
    revision_id: UUID,
    caller: Caller,
    session: Session,
    body: LogRequest | None = None,
) -> LogPage:
    """What was said while the image of a revision was made."""
    return await _read(session, caller.id, deployment_id, revision_id, LogKind.BUILD, body)


@router.post("/v1/projects/{deployment_id}/revisions/{revision_id}/deploy_logs", summary="Read servers' logs")
async def revision_logs(
    deployment_id: UUID,
    revision_id: UUID,
    caller: Caller,
    session: Session,
    body: LogRequest | None = None,
) -> LogPage:
    """What the servers of one revision wrote."""
    return await _read(session, caller.id, deployment_id, revision_id, LogKind.DEPLOY, body)


@router.post("/v1/projects/{deployment_id}/deploy_logs", summary="Read servers' logs of all revisions")
async def deploy_logs(
    deployment_id: UUID, caller: Caller, session: Session, body: LogRequest | None = None
) -> LogPage:
    """What the servers of a deployment wrote."""
    return await _read(session, caller.id, deployment_id, None, LogKind.DEPLOY, body)


@router.get(
    "/v2/deployments/{deployment_id}/revisions/{revision_id}/logs",
    summary="Read or follow a log of a revision",
    response_model=LogPage,
    responses=STREAM,
)
async def of_revision(
    deployment_id: UUID, revision_id: UUID, caller: Caller, house: House, session: Session, asked: Asked
) -> Response | LogPage:
    """The build's or the servers' lines; with `follow=true` all of them, and then each new one, as events."""
    return await _answer(house, session, caller.id, deployment_id, revision_id, asked)


@router.get(
    "/v2/deployments/{deployment_id}/logs",
    summary="Read or follow a log of a deployment",
    response_model=LogPage,
    responses=STREAM,
)
async def of_deployment(
    deployment_id: UUID, caller: Caller, house: House, session: Session, asked: Asked
) -> Response | LogPage:
    """Likewise, for all revisions."""
    return await _answer(house, session, caller.id, deployment_id, None, asked)


@router.get("/v2/deployment-logs", summary="Search a log")
async def search(caller: Caller, session: Session, query: Annotated[LogSearch, Query()]) -> LogItems:
    """The same lines in the newest spelling: newest first unless told otherwise."""
    await _check(session, caller.id, query.deployment_id, query.revision_id)
    wanted = query.wanted(
        query.log_type,
        query.revision_id,
        order=query.sort_order,
        limit=query.page_size,
        offset=query.cursor,
        run=query.run_id,
    )
    page, open_end = await _page(session, query.deployment_id, wanted)
    return LogItems.of(page, open_end=open_end)


async def _read(
    session: AsyncSession,
    workspace_id: UUID,
    deployment_id: UUID,
    revision_id: UUID | None,
    kind: LogKind,
    body: LogRequest | None,
) -> LogPage:
    body = body or LogRequest()
    await _check(session, workspace_id, deployment_id, revision_id)
    limit = min(body.limit, MOST)
    wanted = body.wanted(kind, revision_id, order=body.order, limit=limit, offset=body.offset)
    page, open_end = await _page(session, deployment_id, wanted)
    return LogPage.of(page, open_end=open_end)


async def _answer(
    house: Parts,
    session: AsyncSession,
    workspace_id: UUID,
    deployment_id: UUID,
    revision_id: UUID | None,
    asked: Question,
) -> Response | LogPage:
    query = asked.query
    await _check(session, workspace_id, deployment_id, revision_id)
    wanted = query.wanted(
        query.type, revision_id, order=query.order, limit=query.limit, offset=query.offset, run=query.run_id
    )
    if query.follow:
        lines = _follow(house, workspace_id, deployment_id, _resumed(wanted, asked.last_event_id))
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        return StreamingResponse(lines, media_type="text/event-stream", headers=headers)
    page, open_end = await _page(session, deployment_id, wanted)
    return LogPage.of(page, open_end=open_end)


async def _check(
    session: AsyncSession, workspace_id: UUID, deployment_id: UUID, revision_id: UUID | None
) -> None:
    if await deployment.get(session, workspace_id, deployment_id) is None:
        raise no_deployment(deployment_id)
    if revision_id is not None and await revision.get(session, deployment_id, revision_id) is None:
        raise no_revision(revision_id)


async def _page(session: AsyncSession, deployment_id: UUID, wanted: Wanted) -> tuple[Page, bool]:
    """The page, and whether its log may still grow.

    Clients that follow by time ask again from the last line's moment on. If more lines than fit on a page
    share that moment, they would get the same page for ever: such a page goes on to the next moment.
    """
    page = await line.page(session, deployment_id, wanted)
    start = wanted.start
    if start is not None and not wanted.newest_first and wanted.offset is None and page.lines:
        full = len(page.lines) == wanted.limit
        if full and page.lines[-1].at <= start + LAST:
            same = replace(wanted, end=start + LAST, limit=10 * MOST)
            rows = (await line.page(session, deployment_id, same)).lines
            after = await line.page(session, deployment_id, replace(wanted, offset=rows[-1].id))
            page = Page([*rows, *after.lines], after.next_offset)
    return page, await _open(session, deployment_id, wanted)


async def _open(session: AsyncSession, deployment_id: UUID, wanted: Wanted) -> bool:
    if wanted.kind is not LogKind.BUILD or wanted.revision_id is None:
        return True
    row = await revision.get(session, deployment_id, wanted.revision_id)
    return row is not None and not (row.status.ended and row.updated_at < now() - SETTLED)


async def _follow(
    house: Parts, workspace_id: UUID, deployment_id: UUID, wanted: Wanted
) -> AsyncIterator[str]:
    told = monotonic()
    while not house.closing.is_set():
        try:
            async with house.sessions() as session:
                page = await line.page(session, deployment_id, wanted)
                alive = await deployment.get(session, workspace_id, deployment_id) is not None
                ended = not await _open(session, deployment_id, wanted)
        except Exception as error:
            # The client comes back by itself and resumes where it was.
            if database_away(error):
                return
            raise
        for row in page.lines:
            told = monotonic()
            yield f"id: {row.id}\nevent: line\ndata: {LogEntry.of(row).model_dump_json()}\n\n"
        wanted = replace(wanted, offset=page.next_offset)
        if not page.lines and (ended or not alive):
            yield "event: end\ndata: {}\n\n"
            return
        if monotonic() - told > QUIET:
            told = monotonic()
            yield ": still here\n\n"
        if len(page.lines) < wanted.limit:
            await _pause(house.closing)


def _resumed(wanted: Wanted, last_event_id: str | None) -> Wanted:
    if wanted.newest_first:
        raise Unacceptable("A log is followed oldest first; leave order=desc out.")
    wanted = replace(wanted, limit=100)
    if not last_event_id:
        return wanted
    if not (last_event_id.isascii() and last_event_id.isdigit()) or len(last_event_id) > 18:
        raise Unacceptable("Last-Event-ID is not the id of a line of this log.")
    return replace(wanted, offset=int(last_event_id))


async def _pause(closing: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(closing.wait(), PAUSE)
    except TimeoutError:
        return
