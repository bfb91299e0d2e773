"""Rows for tests to start from: a test names only what matters to it."""

import hashlib
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from records import deployment, image, inventory, revision, settle, upload, wish, workspace
from records.base import now
from records.deployment import Deployment
from records.revision import Revision
from records.specification import Change, Environment
from records.upload import Upload
from records.workspace import Workspace
from workflows import shapes
from workflows.causes import Cause, Code
from workflows.shapes import RevisionStatus, SourceKind, Wish

PLANE = "local"
_serial = count(1)


async def a_workspace(session: AsyncSession) -> Workspace:
    return await workspace.named(session, f"workspace-{next(_serial)}")


async def a_deployment(session: AsyncSession, owner: UUID | None = None, **fields: Any) -> Deployment:
    """A living deployment in a workspace of its own, unless one is given."""
    values: dict[str, Any] = {
        "deployment_id": uuid4(),
        "workspace_id": owner or (await a_workspace(session)).id,
        "name": f"agent-{next(_serial)}",
        "source": SourceKind.INTERNAL_SOURCE,
        "plane": PLANE,
        "credentials": "sealed credentials",
        "environment": Environment("sealed environment"),
        "source_config": {"deployment_type": "dev"},
    }
    return await deployment.create(session, **{**values, **fields})


async def an_upload(session: AsyncSession, owner: Deployment, content: bytes = b"archive") -> Upload:
    """An archive that arrived."""
    row = await upload.issue(session, owner.id, now() + timedelta(hours=1))
    digest = hashlib.sha256(content).hexdigest()
    stored = await upload.store(session, row.id, size=len(content), sha256=digest)
    assert stored is not None
    return stored


async def a_revision(session: AsyncSession, owner: Deployment, **change: Any) -> Revision:
    """A revision with a new archive, unless the change says otherwise."""
    if not change:
        row = await an_upload(session, owner)
        config = {"source_tarball_path": row.object_path, "langgraph_config_path": "langgraph.json"}
        change = {"upload_id": row.id, "source_revision_config": config}
    return await wish.add(session, owner.id, Change(**change))


async def held(session: AsyncSession, row: Revision) -> Revision:
    """The same row, locked."""
    locked = await revision.hold(session, row.deployment_id, row.id, row.number)
    assert locked is not None
    return locked


async def claimed(session: AsyncSession, row: Revision) -> Revision:
    """A revision that a rollout took on."""
    locked = await held(session, row)
    assert await revision.claim(session, locked)
    return locked


async def ended(
    session: AsyncSession, row: Revision, status: RevisionStatus = RevisionStatus.DEPLOYED
) -> Revision:
    """A revision whose story is over."""
    locked = await held(session, row)
    cause = None if status is RevisionStatus.DEPLOYED else Cause(code=Code.INTERNAL, message="It broke.")
    assert await revision.end(session, locked, status, cause)
    return locked


def an_image(**fields: Any) -> shapes.Image:
    """What a build yielded."""
    values: dict[str, Any] = {
        "digest": f"sha256:{next(_serial):064x}",
        "source_digest": "source",
        "lock_digest": "lock",
        "server": "langgraph-api 0.11.1",
        "builder": "uv 0.13.9",
        "python": "3.11",
        "size": 1,
        "graphs": ["echo"],
    }
    return shapes.Image(**{**values, **fields})


async def with_image(session: AsyncSession, row: Revision, made: shapes.Image | None = None) -> Revision:
    """A revision whose image exists on the plane."""
    made = made or an_image()
    owner = await session.get_one(Deployment, row.deployment_id)
    await image.enter(session, made, owner.plane)
    row.image_id, row.defaults = made.digest, made.defaults
    await session.flush()
    return row


async def wish_of(session: AsyncSession, row: Revision) -> Wish:
    """The revision, resolved, as a workflow would carry it."""
    owner = await session.get_one(Deployment, row.deployment_id)
    return await settle.wish(session, owner, row)


async def a_served(
    session: AsyncSession, *, replicas: int = 1, environment: Environment | None = None, **fields: Any
) -> tuple[Deployment, Wish]:
    """A deployment and the revision that serves it, with everything entered and its image there."""
    owner = await a_deployment(session, **fields)
    config = {"resource_spec": {"min_scale": replicas}}
    row = await a_revision(session, owner, source_config=config, environment=environment)
    await with_image(session, row)
    found = await wish_of(session, row)
    await inventory.enter(session, found, owner.plane)
    await ended(session, await claimed(session, row))
    await deployment.serve(session, owner, row.key, url="http://here", image_version=None)
    return owner, found
