"""Wishes: a new revision from what a caller wants different, an older one again, or an end to one.

A wish is a whole: it takes over everything from the revision before it that the caller did not change, down
to the image when nothing that a build depends on is different. So secrets, resources and redeploys cost no
build.
"""

from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from records import deployment, revision
from records.base import now
from records.deployment import Deleted, Deployment
from records.event import EventKind, tell
from records.revision import Revision
from records.specification import REVISION_KEYS, Change, merged
from workflows.shapes import RevisionStatus

BUILD_KEYS = ("install_command", "build_command")


class Unknown(Exception):
    """There is no such deployment, or no such revision of it."""


async def add(session: AsyncSession, deployment_id: UUID, change: Change) -> Revision:
    """A new revision: the deployment's present values with this change. Raises `Unknown` or `Deleted`."""
    owner = await _living(session, deployment_id)
    last = await revision.newest(session, deployment_id)
    source = change.source or (last.source if last else owner.source)
    same_source = last is None or source is last.source
    owner.source_config = merged(owner.source_config, change.source_config)
    # Another kind of source means nothing by the old one's keys (an image_uri beside an archive).
    kept = owner.source_revision_config if same_source else {}
    owner.source_revision_config = merged(kept, change.source_revision_config)
    if change.environment is not None:
        owner.use(change.environment)
    if change.secret_references is not None:
        owner.secret_references = change.secret_references
    if change.tracked_packages is not None:
        owner.tracked_packages = change.tracked_packages
    row = _numbered(owner)
    row.source = source
    row.upload_id = change.upload_id or (last.upload_id if last and same_source else None)
    # An image that is named once more may be another one by now; one that is merely kept is not.
    named = "image_uri" in (change.source_revision_config or {})
    if last is not None and builds_alike(last, row) and not named:
        row.image_id, row.defaults = last.image_id, last.defaults
    return await _entered(session, owner, row, "Made from a change.")


async def redeploy(session: AsyncSession, deployment_id: UUID, revision_id: UUID) -> Revision:
    """A new revision with every value and the image of an older one. Raises `Unknown` or `Deleted`."""
    owner = await _living(session, deployment_id)
    old = await revision.get(session, deployment_id, revision_id)
    if old is None:
        raise Unknown(revision_id)
    settled = {key: value for key, value in owner.source_config.items() if key not in REVISION_KEYS}
    owner.source_config = {**settled, **old.source_config}
    for column in (
        "source_revision_config",
        "environment",
        "flavour",
        "custom_postgres",
        "custom_redis",
        "secret_references",
        "tracked_packages",
    ):
        setattr(owner, column, getattr(old, column))
    row = _numbered(owner)
    row.source, row.upload_id, row.image_id, row.defaults = (
        old.source,
        old.upload_id,
        old.image_id,
        old.defaults,
    )
    return await _entered(session, owner, row, f"Made from revision {old.number}.")


async def interrupt(session: AsyncSession, deployment_id: UUID, revision_id: UUID) -> Revision:
    """Ask for an end of a revision; one that has ended stays as it is. Raises `Unknown`."""
    found = await revision.get(session, deployment_id, revision_id)
    row = await revision.hold(session, deployment_id, revision_id, found.number) if found else None
    if row is None:
        raise Unknown(revision_id)
    if not row.status.ended and row.interrupt_requested_at is None:
        row.interrupt_requested_at = now()
        tell(
            session,
            deployment_id,
            EventKind.REVISION_INTERRUPT,
            revision=row.key,
            before=row.status,
            message="An end was asked for.",
        )
        await session.flush()
    return row


def builds_alike(one: Revision, other: Revision) -> bool:
    """Whether one image does for both: everything that a build depends on is the same."""
    return _build_inputs(one) == _build_inputs(other)


def _build_inputs(row: Revision) -> tuple[Any, ...]:
    return (
        row.source,
        row.upload_id,
        row.flavour,
        row.source_revision_config.get("langgraph_config_path"),
        row.source_revision_config.get("image_uri"),
        *(row.source_config.get(key) for key in BUILD_KEYS),
    )


async def _living(session: AsyncSession, deployment_id: UUID) -> Deployment:
    owner = await deployment.lock(session, deployment_id)
    if owner is None:
        raise Unknown(deployment_id)
    if owner.deleted_at is not None:
        raise Deleted(owner.name)
    return owner


def _numbered(owner: Deployment) -> Revision:
    owner.last_number += 1
    return Revision(
        deployment_id=owner.id,
        number=owner.last_number,
        status=RevisionStatus.CREATING,
        source_config={key: owner.source_config[key] for key in REVISION_KEYS if key in owner.source_config},
        source_revision_config=owner.source_revision_config,
        environment=owner.environment,
        flavour=owner.flavour,
        custom_postgres=owner.custom_postgres,
        custom_redis=owner.custom_redis,
        secret_references=owner.secret_references,
        tracked_packages=owner.tracked_packages,
    )


async def _entered(session: AsyncSession, owner: Deployment, row: Revision, message: str) -> Revision:
    session.add(row)
    await session.flush()
    owner.latest_revision_id, owner.updated_at = row.id, now()
    tell(session, owner.id, EventKind.REVISION_CREATED, revision=row.key, after=row.status, message=message)
    await session.flush()
    return row
