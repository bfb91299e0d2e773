"""What a deployment should be now, read from its rows: the `Intent` that workflows act on.

The newest wish wins. An older open revision is wanted only as long as nothing newer was taken on, so a
rollout that was given up never comes back. A deleted deployment names everything a removal must look for:
what its revisions ever had provisioned, whatever the newest one says.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from records import deployment, image, inventory, plane, revision, upload
from records.deployment import Deployment
from records.revision import Revision
from records.upload import UploadState
from workflows.causes import Cause, Code
from workflows.decide import CONTAINERS
from workflows.pods import Resources, SecretReference
from workflows.shapes import (
    Archive,
    Flavour,
    Intent,
    PlaneKind,
    ResourceKind,
    RevisionStatus,
    SourceKind,
    Wish,
)

PRODUCTION = ("prod", None)
"""The deployment types whose state deserves volumes and backups; one that was never said is the usual one."""
HOST = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")


async def intent(
    session: AsyncSession, deployment_id: UUID, kinds: Mapping[str, PlaneKind] | None = None
) -> Intent:
    """The newest wish on record; an unknown id reads as deleted. `kinds` says what planes are made of; one that it
    leaves out is what its worker said last. Revisions that were interrupted before any
    rollout took them on are ended here: nobody else would."""
    owner = await deployment.lock(session, deployment_id)
    if owner is None:
        return Intent(deployment_id=deployment_id, name="", workspace="", plane="", deleted=True)
    for row in await revision.still_open(session, deployment_id):
        if row.interrupt_requested_at is not None and row.attended_at is None:
            await revision.end(session, row, RevisionStatus.SKIPPED, Cause(code=Code.INTERRUPTED, message=""))
    deleted = owner.deleted_at is not None
    wanted = await (_last_will if deleted else _wanted)(session, owner)
    active = await session.get(Revision, owner.active_revision_id) if owner.active_revision_id else None
    return Intent(
        deployment_id=owner.id,
        name=owner.name,
        workspace=str(owner.workspace_id),
        plane=owner.plane,
        deleted=deleted,
        wanted=wanted,
        active=active.number if active else None,
        serving=await wish(session, owner, active) if active and not deleted else None,
        policy=owner.policy,
        kind=(kinds or {}).get(owner.plane) or await plane.kind(session, owner.plane),
    )


async def _wanted(session: AsyncSession, owner: Deployment) -> Wish | None:
    taken_on = select(func.coalesce(func.max(Revision.number), 0)).where(
        Revision.deployment_id == owner.id, Revision.attended_at.is_not(None)
    )
    floor = (await session.scalars(taken_on)).one()
    open_rows = await revision.still_open(session, owner.id)
    rows = [row for row in open_rows if row.interrupt_requested_at is None and row.number >= floor]
    return await wish(session, owner, rows[-1]) if rows else None


async def _last_will(session: AsyncSession, owner: Deployment) -> Wish | None:
    newest = await revision.newest(session, owner.id)
    if newest is None:
        return None
    made = await inventory.kinds(session, owner.id)
    change: dict[str, Any] = {
        "purge": owner.purge,
        "custom_postgres": ResourceKind.DATABASE not in made and newest.custom_postgres,
        "custom_redis": ResourceKind.REDIS not in made and newest.custom_redis,
    }
    if made & {ResourceKind.DATABASE, ResourceKind.REDIS}:
        change["flavour"] = Flavour.PG
    return (await wish(session, owner, newest)).model_copy(update=change)


async def wish(session: AsyncSession, owner: Deployment, row: Revision) -> Wish:
    """A revision, resolved. The image is named only while the plane is sure to have it."""
    memory = _spec(row.source_config).get("memory_mb")
    has_image = row.image_id is not None and await image.kept(session, row.image_id, owner.plane)
    return Wish(
        deployment_id=owner.id,
        revision_id=row.id,
        number=row.number,
        name=owner.name,
        source=row.source,
        archive=await _archive(session, row),
        image=row.image_id if has_image else None,
        image_uri=row.source_revision_config.get("image_uri"),
        flavour=flavour(row.source, row.flavour),
        replicas=replicas(row.source_config),
        memory_mb=int(memory) if memory else None,
        environment=row.environment,
        defaults=row.defaults,
        credentials=owner.credentials,
        custom_postgres=row.custom_postgres,
        custom_redis=row.custom_redis,
        resources=_resources(row.source_config),
        secret_references=[SecretReference(**one) for one in row.secret_references or ()],
        hostnames=hostnames(owner.custom_url),
        production=owner.deployment_type in PRODUCTION,
    )


def flavour(source: SourceKind, asked: Flavour) -> Flavour:
    """Which server a revision runs: an image of somebody else's brings its own, whatever its variables say."""
    return Flavour.IMAGE if source in CONTAINERS else asked


def replicas(source_config: dict[str, Any]) -> int:
    """How many a revision with these settings runs."""
    return max(1, int(_spec(source_config).get("min_scale") or 1))


def hostnames(custom_url: str | None) -> list[str]:
    """The names under which a deployment wants to be reached besides its generated address."""
    host = urlsplit(custom_url or "").hostname or ""
    return [host] if HOST.fullmatch(host) and not host.rpartition(".")[2].isdigit() else []


def _spec(source_config: dict[str, Any]) -> dict[str, Any]:
    return source_config.get("resource_spec") or {}


def _resources(source_config: dict[str, Any]) -> Resources:
    """What a plane acts on; what was never set, or means nothing to us, is left out."""
    spec = _spec(source_config)
    known = {field: spec[field] for field in Resources.model_fields if spec.get(field) is not None}
    return Resources(**{field: _rounded(value) for field, value in known.items()})


def _rounded(value: Any) -> Any:
    """Cores count by tenths."""
    return round(value, 1) if isinstance(value, float) else value


async def _archive(session: AsyncSession, row: Revision) -> Archive | None:
    stored = await upload.get(session, row.upload_id) if row.upload_id else None
    if (
        stored is None
        or stored.state is not UploadState.STORED
        or stored.sha256 is None
        or stored.size is None
    ):
        return None
    return Archive(
        upload_id=stored.id,
        sha256=stored.sha256,
        size=stored.size,
        config_path=row.source_revision_config.get("langgraph_config_path") or "langgraph.json",
        install_command=row.source_config.get("install_command"),
        build_command=row.source_config.get("build_command"),
    )
