"""/v2/listeners/{listener}/drift: how a data plane stands to the records, be it a listener's or our own.

A plane of our own serves every workspace, and each sees its own deployments there. What belongs to nobody, and
what a sweep says of everybody, is for the workspace that the installation began with: its operator's.
"""

from typing import Annotated, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Path
from sqlalchemy.ext.asyncio import AsyncSession

from api import places
from api.access import Tenant
from api.drift import scores
from api.needs import Caller, House, Session
from api.parts import Parts
from api.problems import Forbidden, Missing, no_listener
from api.shapes import Refusal
from api.standing import Differing, ListenerDrift, Orphan, Plane, Sweep, scored
from records import drift, orphan, plane, workspace

router = APIRouter(
    prefix="/v2/listeners/{listener}",
    tags=["drift"],
    responses={code: {"model": Refusal} for code in (401, 403, 404, 422)},
)
Name = Annotated[
    str,
    Path(
        alias="listener",
        description="A listener's id, or the name of a plane of this installation.",
        examples=["local"],
    ),
]
OrphanId = Annotated[int, Path(ge=1, lt=2**63, description="As `orphans` lists it.")]


class Place(NamedTuple):
    """A plane that a caller may ask about."""

    name: str
    row: plane.Plane | None
    operated: bool
    """Whether the caller's workspace is the one that looks after it."""


@router.get("/drift", summary="Read a plane's drift")
async def read(name: Name, caller: Caller, house: House, session: Session) -> ListenerDrift:
    """Whether the plane can be seen, what its last sweep said, which deployments of the workspace differ there
    now, and what is there that no deployment owns."""
    place = await _place(session, caller, name, house)
    row = place.row
    swept = Sweep(at=row.swept_at, sentence=row.swept) if row and row.swept_at and place.operated else None
    differing = await drift.differing(session, place.name, caller.id)
    orphans = await orphan.listed(session, place.name) if place.operated else []
    score = await scores(session, plane_name=place.name, workspace_id=caller.id)
    return ListenerDrift(
        **Plane.of(place.name, row).model_dump(),
        swept=swept,
        score=scored(score),
        differing=[Differing.of(found, count) for found, count in differing],
        orphans=[Orphan.of(one) for one in orphans],
    )


@router.delete("/orphans/{orphan_id}", status_code=202, summary="Have an orphan removed")
async def remove(name: Name, orphan_id: OrphanId, caller: Caller, house: House, session: Session) -> Orphan:
    """The next sweep takes it away, even if it holds data: what is in it is lost then."""
    place = await _place(session, caller, name, house)
    if not place.operated:
        raise Forbidden("Orphans of this plane are for the workspace that operates it; yours does not.")
    row = await orphan.ask_removal(session, place.name, orphan_id)
    await session.commit()
    if row is None:
        raise Missing(f"Orphan ID {orphan_id} not found on plane '{place.name}'.")
    return Orphan.of(row)


async def _place(session: AsyncSession, caller: Tenant, name: str, house: Parts) -> Place:
    """A listener's plane goes by the listener's id, so that no two workspaces can mean the same; one that is shared
    goes by its name too."""
    first = await workspace.first(session)
    operates = first is not None and first.id == caller.id
    try:
        listener_id = UUID(name)
    except ValueError:
        row = None if "\0" in name else await plane.named(session, name)
        if row is None and name not in house.settings.kinds:
            raise no_listener(name[:120]) from None
        return Place(name, row, operates)
    known = await places.named(session, house, caller.id, listener_id)
    if known is None:
        raise no_listener(listener_id)
    own = known == str(listener_id)
    return Place(known, await plane.named(session, known), own or operates)
