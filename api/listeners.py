"""/v2/listeners: the data planes that live in clusters. Read only: which there are is for the installation's settings
and for their workers to say; this machine is no listener. How planes stand to the records is in `planes`."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter

from api import places
from api.needs import Caller, House, Page, Session
from api.problems import Forbidden, no_listener
from api.shapes import Listener, Refusal, Resources

router = APIRouter(
    prefix="/v2/listeners",
    tags=["listeners"],
    responses={code: {"model": Refusal} for code in (401, 403, 404, 422)},
)
REASON = (
    "Which listeners there are is for this installation's settings to say; ask whoever runs it for another."
)


@router.get("", summary="List listeners")
async def listed(caller: Caller, house: House, session: Session, page: Page) -> Resources[Listener]:
    """The workspace's own, newest first, then those that every workspace has."""
    found = await places.listeners(session, house, caller)
    found = found[page.offset : page.offset + page.limit]
    return Resources(resources=found, offset=page.offset + len(found))


@router.get("/{listener_id}", summary="Read a listener")
async def read(listener_id: UUID, caller: Caller, house: House, session: Session) -> Listener:
    """One data plane."""
    for found in await places.listeners(session, house, caller):
        if found.id == listener_id:
            return found
    raise no_listener(listener_id)


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
