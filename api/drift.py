"""/v2/deployments/{id}/drift: how a deployment stands to its record, and what is to be done about that."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.deployments import held, inspect
from api.needs import Caller, House, Page, Session, Window
from api.problems import AWAY_TEMPORAL, Conflict, Unready, no_deployment
from api.shapes import Refusal
from api.standing import LENGTHS, ChangeDrift, DeploymentDrift, Difference, Differences, Plane, Span
from records import deployment, drift, plane
from records.base import now
from workflows.shapes import Policy

router = APIRouter(
    prefix="/v2/deployments/{deployment_id}/drift",
    tags=["drift"],
    responses={code: {"model": Refusal} for code in (401, 403, 404, 422)},
)
GOING: dict[int | str, dict[str, Any]] = {409: {"model": Refusal, "description": "It is being deleted."}}
UNSEEN: dict[int | str, dict[str, Any]] = {
    409: {"model": Refusal, "description": "It is being deleted, or its policy is `paused`."}
}


@router.get("", summary="Read a deployment's drift")
async def read(deployment_id: UUID, caller: Caller, session: Session, page: Page) -> DeploymentDrift:
    """What differs now from what its record says, with evidence; what is done about it; and how drift was met.
    `limit` and `offset` page through `recent`."""
    row = await deployment.get(session, caller.id, deployment_id)
    if row is None:
        raise no_deployment(deployment_id)
    return await _shown(session, row, page)


@router.patch("", summary="Choose what is done about drift", responses=GOING)
async def change(
    deployment_id: UUID, body: ChangeDrift, caller: Caller, house: House, session: Session
) -> DeploymentDrift:
    """Takes effect at once: what was given up or only reported is looked at anew under the new policy."""
    async with session.begin():
        before = (await held(session, caller, deployment_id)).policy
        row = await drift.set_policy(session, deployment_id, body.policy)
        assert row is not None, "it is locked"
    if row.policy is not before:
        await inspect(house, caller, row)
    return await _shown(session, row, Window(limit=20, offset=0))


@router.post(
    "/look", status_code=202, summary="Ask for a look now", responses=UNSEEN, response_class=Response
)
async def look(deployment_id: UUID, caller: Caller, house: House, session: Session) -> Response:
    """Its plane is looked at now, and what was given up is tried again."""
    async with session.begin():
        row = await held(session, caller, deployment_id)
    if row.policy is Policy.PAUSED:
        raise Conflict(
            "Nobody looks while the drift policy is 'paused'; PATCH this path's parent to 'repair' or "
            "'report' first."
        )
    # A look that is asked for is on no record: who cannot be told cannot be said to know.
    if not await inspect(house, caller, row):
        raise Unready(AWAY_TEMPORAL, {"Retry-After": "3"})
    return Response(status_code=202)


async def scores(
    session: AsyncSession,
    *,
    deployment_id: UUID | None = None,
    plane_name: str | None = None,
    workspace_id: UUID | None = None,
) -> dict[Span, drift.Score]:
    """One for each stretch of time."""
    return {
        span: await drift.score(
            session, now() - length, deployment_id=deployment_id, plane=plane_name, workspace_id=workspace_id
        )
        for span, length in LENGTHS.items()
    }


async def _shown(session: AsyncSession, row: deployment.Deployment, page: Window) -> DeploymentDrift:
    past = await drift.closed(session, row.id, page.limit, page.offset)
    return DeploymentDrift.of(
        row,
        Plane.of(row.plane, await plane.named(session, row.plane)),
        await drift.open_of(session, row.id),
        Differences(resources=[Difference.of(one) for one in past], offset=page.offset + len(past)),
        await scores(session, deployment_id=row.id),
    )
