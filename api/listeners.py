"""/v2/listeners: the data planes of a workspace that live in clusters. Read only: this installation's own
plane is no listener, and it cannot be told about others yet. How planes stand to the records is in `planes`."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter

from api.needs import Caller, Page, Session
from api.problems import Forbidden, no_listener
from api.shapes import Listener, Refusal, Resources
from records import listener

router = APIRouter(
    prefix="/v2/listeners",
    tags=["listeners"],
    responses={code: {"model": Refusal} for code in (401, 403, 404, 422)},
)
REASON = "This installation runs servers on its own machine and does not take listeners in other clusters."


@router.get("", summary="List listeners")
async def listed(caller: Caller, session: Session, page: Page) -> Resources[Listener]:
    """Newest first."""
    rows = await listener.page(session, caller.id, limit=page.limit, offset=page.offset)
    return Resources(resources=[Listener.of(row) for row in rows], offset=page.offset + len(rows))


@router.get("/{listener_id}", summary="Read a listener")
async def read(listener_id: UUID, caller: Caller, session: Session) -> Listener:
    """One data plane."""
    row = await listener.get(session, caller.id, listener_id)
    if row is None:
        raise no_listener(listener_id)
    return Listener.of(row)


@router.post("", status_code=201, summary="Create a listener")
async def create(caller: Caller, body: dict[str, Any]) -> Listener:
    """Refused, with the reason."""
    raise Forbidden(REASON)


@router.patch("/{listener_id}", summary="Change a listener")
async def patch(listener_id: UUID, caller: Caller, body: dict[str, Any]) -> Listener:
    """Refused, with the reason."""
    raise Forbidden(REASON)


@router.delete("/{listener_id}", status_code=204, summary="Delete a listener")
async def remove(listener_id: UUID, caller: Caller) -> None:
    """Refused, with the reason."""
    raise Forbidden(REASON)
