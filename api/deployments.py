"""/v2/deployments: what callers name and want kept running.

A write is one transaction on the records, then a nudge; the answer shows the rows as they stand.
"""

import secrets as random
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api import changes, environment, hosts, places, resources, sources
from api.access import Tenant
from api.bodies import CreateDeployment, DeploymentType, PatchDeployment
from api.needs import Caller, House, Page, Session
from api.parts import Parts
from api.problems import Conflict, SourceConfiguration, Unacceptable, no_deployment, no_listener
from api.shapes import Deletions, Deployment, Refusal, Resources, Undeleted
from records import deployment, wish
from records.base import now
from records.deployment import Filter, NameTaken
from records.specification import Change as Wished
from workflows.accounts import Finder, Notice
from workflows.shapes import DeploymentStatus, PlaneKind

router = APIRouter(
    prefix="/v2/deployments",
    tags=["deployments"],
    responses={code: {"model": Refusal} for code in (400, 401, 403, 422)},
)
GONE: dict[int | str, dict[str, Any]] = {404: {"model": Refusal, "description": "No such deployment."}}
TAKEN: dict[int | str, dict[str, Any]] = {409: {"model": Refusal, "description": "The name is taken."}}
DELETING = (DeploymentStatus.AWAITING_DELETE, DeploymentStatus.AWAITING_FINAL_DELETE)


@router.post("", status_code=201, summary="Create a deployment", responses=TAKEN)
async def create(body: CreateDeployment, caller: Caller, house: House, session: Session) -> Deployment:
    """A new deployment. Image sources get their first revision at once; `internal_source` gets it with the
    first archive (upload-url, PUT, PATCH)."""
    _check_named(body)
    config = body.source_config
    async with session.begin():
        place = await places.choose(session, house, caller, body.source, config)
        usual = house.settings.kinds[house.settings.usual_plane]
        values = _checked(body, house, place.kind if place else usual)
        if place is None:
            raise no_listener(config.listener_id)
        await hosts.claim(session, house, place, config.custom_url)
        deployment_id = await deployment.fresh_id(session)
        spec = changes.sealed(house, deployment_id, values)
        resources.check_flavour(config.resource_spec, spec.flavour)
        passwords = {"postgres": random.token_urlsafe(24), "redis": random.token_urlsafe(24)}
        try:
            row = await deployment.create(
                session,
                deployment_id=deployment_id,
                workspace_id=caller.id,
                name=body.name,
                source=body.source,
                plane=place.name,
                credentials=house.keyring.seal_map(passwords, str(deployment_id)),
                environment=spec,
                source_config=changes.settings_of(body),
                source_revision_config=body.source_revision_config.given,
                secret_references=changes.references_of(body),
                tracked_packages=body.tracked_packages,
                deployment_type=config.deployment_type or DeploymentType.PROD,
                custom_url=config.custom_url,
                shareable=bool(body.shareable),
                route_through_gateway=bool(body.route_through_gateway),
            )
        except NameTaken:
            raise Conflict(f"A deployment named '{body.name}' already exists in this workspace.") from None
        if body.source_revision_config.image_uri is not None:
            await wish.add(session, row.id, Wished(source=body.source))
    await nudge(house, caller, row)
    return Deployment.of(row, values)


@router.get("", summary="List deployments")
async def listed(
    caller: Caller,
    house: House,
    session: Session,
    page: Page,
    name: Annotated[str | None, Query(description="Exactly this name.")] = None,
    name_contains: Annotated[str | None, Query(description="Names with this in them.")] = None,
    status: DeploymentStatus | None = None,
    deployment_type: DeploymentType | None = None,
    deployment_ids: Annotated[str | None, Query(description="Ids, separated by commas.")] = None,
    image_version: Annotated[str | None, Query(description="Served by this version of the server.")] = None,
    url: Annotated[str | None, Query(description="Served at exactly this address.")] = None,
    tag_value_ids: Annotated[
        str | None, Query(description="There are no tags here: any id finds nothing.")
    ] = None,
    remote_reconciled: Annotated[bool | None, Query(description="Not supported.")] = None,
    agent_id: Annotated[str | None, Query(description="Not supported.")] = None,
    agent_environment: Annotated[str | None, Query(description="Not supported.")] = None,
) -> Resources[Deployment]:
    """Newest first; a deployment whose name is exactly `name_contains` comes before all. One that is being
    deleted is not listed any more."""
    if agent_id or agent_environment:
        raise Unacceptable(
            "agent_id and agent_environment are not supported here; look deployments up by name."
        )
    if remote_reconciled is not None:
        raise Unacceptable("remote_reconciled is not supported here; leave it out.")
    _check_filters(name, name_contains, image_version, url)
    wanted = Filter(
        name=name or None,
        name_contains=name_contains or None,
        status=status,
        deployment_type=deployment_type,
        deployment_ids=_ids("deployment_ids", deployment_ids),
        image_version=image_version or None,
        url=url or None,
    )
    tagged = _ids("tag_value_ids", tag_value_ids)
    rows = (
        []
        if tagged
        else await deployment.page(session, caller.id, wanted, limit=page.limit, offset=page.offset)
    )
    found = [Deployment.of(row, changes.variables(house, row)) for row in rows]
    return Resources(resources=found, offset=page.offset + len(found))


@router.get("/{deployment_id}", summary="Read a deployment", responses=GONE)
async def read(deployment_id: UUID, caller: Caller, house: House, session: Session) -> Deployment:
    """One deployment, also while it is being deleted; 404 once everything of it is gone."""
    row = await deployment.get(session, caller.id, deployment_id)
    if row is None:
        raise no_deployment(deployment_id)
    return Deployment.of(row, changes.variables(house, row))


@router.patch("/{deployment_id}", summary="Change a deployment", responses=GONE)
async def patch(
    deployment_id: UUID, body: PatchDeployment, caller: Caller, house: House, session: Session
) -> Deployment:
    """Makes one revision if the body has a source_revision_config field, secrets, a resource_spec, an install
    or build command, or secret_references; otherwise none. Null changes nothing, nor do empty secrets."""
    async with session.begin():
        row = await held(session, caller, deployment_id)
        _check_patch(row, body)
        asked = body.source_config.custom_url if body.source_config else None
        moved = asked is not None and asked != row.custom_url
        place = await places.of(session, house, row.plane)
        await hosts.claim(session, house, place, asked, row.id)
        wished = await changes.check(session, house, row, body)
        if changes.makes_revision(body):
            if row.latest_revision_id is None and not wished.source_revision_config:
                changes.remember(row, wished)
            else:
                await changes.revise(session, row, wished)
        await deployment.patch(
            session,
            row.id,
            display_name=body.display_name,
            custom_url=asked,
            source_config=wished.source_config,
            shareable=body.shareable,
            route_through_gateway=body.route_through_gateway,
        )
    await nudge(house, caller, row)
    if moved and row.active_revision_id is not None and place.kind is PlaneKind.KUBERNETES:
        # No revision is made for it: the door that is there differs now from the one that is wanted.
        await inspect(house, caller, row)
    return Deployment.of(row, changes.variables(house, row))


@router.delete("/{deployment_id}", status_code=204, summary="Delete a deployment", responses=GONE)
async def remove(
    deployment_id: UUID,
    caller: Caller,
    house: House,
    session: Session,
    delete_tracing_project: Annotated[bool, Query(description="There are no tracing projects here.")] = False,
    force: Annotated[
        bool, Query(description="Forget it without cleaning up; only while it is deleted.")
    ] = False,
    purge: Annotated[
        bool, Query(description="Volumes that a cluster would keep go too, and what is in them is lost.")
    ] = False,
) -> None:
    """Off the list and its name free at once; servers, databases and records follow. Until all is gone GET
    answers AWAITING_DELETE, then 404."""
    async with session.begin():
        row = await _delete(session, caller, deployment_id, force=force, purge=purge)
    await nudge(house, caller, row)


@router.delete("", summary="Delete several deployments", responses={207: {"model": Deletions}})
async def remove_several(
    caller: Caller,
    house: House,
    session: Session,
    response: Response,
    deployment_ids: Annotated[list[UUID], Query(min_length=1, max_length=100)],
) -> Deletions:
    """200 if all of them are being deleted now, 207 if some were not there."""
    done = Deletions(deleted=[], failed=[])
    for deployment_id in dict.fromkeys(deployment_ids):
        async with session.begin():
            row = await deployment.get(session, caller.id, deployment_id)
            if row is None:
                done.failed.append(Undeleted(id=deployment_id, detail=no_deployment(deployment_id).detail))
                continue
            await deployment.mark_deleted(session, deployment_id)
        await nudge(house, caller, row)
        done.deleted.append(deployment_id)
    response.status_code = 207 if done.failed else 200
    return done


async def nudge(house: Parts, caller: Tenant, row: deployment.Deployment) -> None:
    """Tell the deployment's workflow to look."""
    await house.nudger.look(row.id, plane=row.plane, workspace=caller.name, name=row.name)


async def inspect(house: Parts, caller: Tenant, row: deployment.Deployment) -> bool:
    """Tell the deployment's workflow to look at its plane; whether it was told."""
    notice = Notice(by=Finder.PERSON, at=now())
    return await house.nudger.inspect(row.id, notice, plane=row.plane, workspace=caller.name, name=row.name)


async def held(session: AsyncSession, caller: Tenant, deployment_id: UUID) -> deployment.Deployment:
    """A deployment of the caller's, locked for a change; refused while it is being deleted."""
    row = await deployment.lock(session, deployment_id)
    if row is None or row.workspace_id != caller.id:
        raise no_deployment(deployment_id)
    if row.deleted_at is not None:
        raise Conflict(f"Deployment ID {deployment_id} is being deleted and takes no changes any more.")
    return row


async def _delete(
    session: AsyncSession, caller: Tenant, deployment_id: UUID, *, force: bool, purge: bool
) -> deployment.Deployment:
    row = await deployment.get(session, caller.id, deployment_id)
    if row is None:
        raise no_deployment(deployment_id)
    if not force:
        await deployment.mark_deleted(session, deployment_id, purge=purge)
    elif row.status in DELETING:
        await deployment.forget(session, deployment_id)
    else:
        raise Unacceptable(
            "force forgets a deployment that is already being deleted (AWAITING_DELETE) without cleaning up; "
            f"this one is {row.status}. Delete it without force first."
        )
    return row


def _check_named(body: CreateDeployment) -> None:
    if body.agent is not None:
        raise Unacceptable("agent is not supported here: give the deployment a name instead (`--name`).")
    sources.check_name(body.name)


def _checked(body: CreateDeployment, house: Parts, kind: PlaneKind) -> dict[str, str]:
    sources.check_new(body, kind)
    if (spec := body.source_config.resource_spec) is not None:
        resources.check(spec, body.source, kind, privileged=house.settings.privileged_pods)
    return environment.checked(body.secrets)


def _check_patch(row: deployment.Deployment, body: PatchDeployment) -> None:
    for field in ("name", "source"):
        wanted, own = getattr(body, field), getattr(row, field)
        if wanted is not None and wanted != own:
            raise Unacceptable(f"{field} cannot change after creation; it is '{own}'.")
    if body.tracked_repo_ref is not None:
        raise SourceConfiguration(f"tracked_repo_ref applies to source 'github' only, not to '{row.source}'.")
    if body.deployment_tier is not None:
        raise Unacceptable("deployment_tier means nothing here; set source_config.resource_spec instead.")


def _check_filters(*texts: str | None) -> None:
    if any(text is not None and "\0" in text for text in texts):
        raise Unacceptable("A filter contains a NUL character; no deployment does.")


def _ids(field: str, text: str | None) -> list[UUID] | None:
    if not text:
        return None
    try:
        return [UUID(part.strip()) for part in text.split(",") if part.strip()]
    except ValueError:
        raise Unacceptable(f"{field} must be UUIDs separated by commas.") from None
