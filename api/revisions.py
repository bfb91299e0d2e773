"""/v2/deployments/{id}/revisions: one wish each, and what became of it."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query

from api import changes, hosts, places
from api.bodies import CreateRevision
from api.deployments import held, nudge
from api.needs import Caller, House, Page, Session
from api.problems import Conflict, SourceConfiguration, Unacceptable, no_deployment, no_revision
from api.shapes import Deployment, Refusal, Resources, Revision
from records import deployment, revision, wish
from workflows.shapes import RevisionStatus, SourceKind

router = APIRouter(
    prefix="/v2/deployments/{deployment_id}/revisions",
    tags=["revisions"],
    responses={code: {"model": Refusal} for code in (400, 401, 403, 404, 422)},
)


@router.get("", summary="List revisions")
async def listed(
    deployment_id: UUID,
    caller: Caller,
    session: Session,
    page: Page,
    status: Annotated[str | None, Query(description="Statuses, separated by commas.")] = None,
    remote_reconciled: Annotated[bool | None, Query(description="Not supported.")] = None,
) -> Resources[Revision]:
    """Newest first."""
    if remote_reconciled is not None:
        raise Unacceptable("remote_reconciled is not supported here; leave it out.")
    statuses = _statuses(status)
    if await deployment.get(session, caller.id, deployment_id) is None:
        raise no_deployment(deployment_id)
    rows = await revision.page(
        session, deployment_id, statuses=statuses, limit=page.limit, offset=page.offset
    )
    return Resources(resources=[Revision.of(row) for row in rows], offset=page.offset + len(rows))


@router.post("", status_code=201, summary="Create a revision")
async def create(
    deployment_id: UUID, body: CreateRevision, caller: Caller, house: House, session: Session
) -> Revision:
    """Always one new revision, even if nothing differs. What is null or left out is as in the latest."""
    async with session.begin():
        owner = await held(session, caller, deployment_id)
        row = await changes.revise(session, owner, await changes.check(session, house, owner, body))
        if body.source_config and body.source_config.custom_url:
            place = await places.of(session, house, owner.plane)
            await hosts.claim(session, house, place, body.source_config.custom_url, owner.id)
            await deployment.patch(session, owner.id, custom_url=body.source_config.custom_url)
    await nudge(house, caller, owner)
    return Revision.of(row)


@router.get("/{revision_id}", summary="Read a revision")
async def read(deployment_id: UUID, revision_id: UUID, caller: Caller, session: Session) -> Revision:
    """One revision; `status_message` says what is going on, or what went wrong and what to do."""
    if await deployment.get(session, caller.id, deployment_id) is None:
        raise no_deployment(deployment_id)
    row = await revision.get(session, deployment_id, revision_id)
    if row is None:
        raise no_revision(revision_id)
    return Revision.of(row)


@router.post("/{revision_id}/redeploy", summary="Deploy a revision again")
async def redeploy(
    deployment_id: UUID, revision_id: UUID, caller: Caller, house: House, session: Session
) -> Deployment:
    """A new revision with everything of an older one, variables and image included: the way back after a bad
    deploy, and the way to try a failed one again."""
    async with session.begin():
        owner = await held(session, caller, deployment_id)
        old = await revision.get(session, deployment_id, revision_id)
        if old is None:
            raise no_revision(revision_id)
        _check_redeploy(owner, old)
        await wish.redeploy(session, deployment_id, revision_id)
    await nudge(house, caller, owner)
    return Deployment.of(owner, changes.variables(house, owner))


INTERRUPT: dict[str, Any] = {
    "status_code": 202,
    "summary": "Interrupt a revision",
    "responses": {409: {"model": Refusal, "description": "It has ended already."}},
}


@router.post("/{revision_id}/interrupt", **INTERRUPT)
@router.post("/{revision_id}/interruption", **INTERRUPT, include_in_schema=False)
async def interrupt(
    deployment_id: UUID, revision_id: UUID, caller: Caller, house: House, session: Session
) -> Revision:
    """Give a revision up that has not ended yet. It becomes INTERRUPTED once all of it is taken back; the one
    that serves goes on serving."""
    async with session.begin():
        owner = await held(session, caller, deployment_id)
        found = await revision.get(session, deployment_id, revision_id)
        if found is None:
            raise no_revision(revision_id)
        row = await wish.interrupt(session, deployment_id, revision_id)
        if row.status.ended and row.status is not RevisionStatus.INTERRUPTED:
            raise Conflict(f"Revision ID {revision_id} has ended already: {row.status}.")
    await nudge(house, caller, owner)
    return Revision.of(row)


def _check_redeploy(owner: deployment.Deployment, old: revision.Revision) -> None:
    for held_back, name in (
        (owner.custom_postgres and not old.custom_postgres, "POSTGRES_URI_CUSTOM"),
        (owner.custom_redis and not old.custom_redis, "REDIS_URI_CUSTOM"),
    ):
        if held_back:
            raise SourceConfiguration(
                f"secrets: '{name}' is set and must stay set, but revision {old.number} is from before that."
            )
    if old.source is SourceKind.INTERNAL_SOURCE and old.upload_id is None and old.image_id is None:
        raise Unacceptable(f"The archive of revision {old.number} is gone; upload the source again.")


def _statuses(text: str | None) -> list[RevisionStatus] | None:
    if not text:
        return None
    wanted = [part.strip() for part in text.split(",") if part.strip()]
    if unknown := [part for part in wanted if part not in set(RevisionStatus)]:
        raise Unacceptable(f"status '{unknown[0][:40]}' is unknown; there are {', '.join(RevisionStatus)}.")
    return [RevisionStatus(part) for part in wanted]
