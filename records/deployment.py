"""Deployments: what a caller named and wants kept running.

Every write locks the deployment's row first, then its revisions. This one order rules out deadlocks, gives
revisions consecutive numbers and makes the ids of events rise in the order of commits.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, ForeignKey, Index, String, delete, exists, false, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from records.base import Base, Key, Moment, now, words
from records.event import EventKind, tell
from records.specification import Environment, Specified, merged
from records.standing import Standing
from workflows import names
from workflows.shapes import DeploymentStatus, SourceKind

NAME_INDEX = "uq_deployments_living_name"


class NameTaken(Exception):
    """Another deployment of the workspace has this name."""


class Deleted(Exception):
    """The deployment is being deleted; it takes no wishes any more."""


class Deployment(Specified, Standing, Base):
    """One deployment. `source_config` holds all that was set, also what its revisions took over."""

    __tablename__ = "deployments"
    __table_args__ = (
        Index(NAME_INDEX, "workspace_id", "name", unique=True, postgresql_where="deleted_at IS NULL"),
        Index(
            "ix_deployments_newest", "workspace_id", "created_at", "id", postgresql_where="deleted_at IS NULL"
        ),
        Index("ix_deployments_deleted", "deleted_at", postgresql_where="deleted_at IS NOT NULL"),
    )

    id: Mapped[Key]
    short: Mapped[str] = mapped_column(String(8), unique=True)
    workspace_id: Mapped[UUID] = mapped_column(ForeignKey("workspaces.id"))
    name: Mapped[str]
    display_name: Mapped[str | None]
    source: Mapped[SourceKind] = mapped_column(words(SourceKind, "source"))
    deployment_type: Mapped[str | None]
    custom_url: Mapped[str | None]
    """Set by a caller; ours is `url`."""
    url: Mapped[str | None]
    """Where it is served, from the first revision that was deployed on."""
    status: Mapped[DeploymentStatus] = mapped_column(
        words(DeploymentStatus, "status"), default=DeploymentStatus.AWAITING_DATABASE
    )
    plane: Mapped[str]
    credentials: Mapped[str]
    """Sealed JSON map of the passwords of its database and its Redis."""
    shareable: Mapped[bool] = mapped_column(default=False)
    route_through_gateway: Mapped[bool] = mapped_column(default=False)
    image_version: Mapped[str | None]
    last_number: Mapped[int] = mapped_column(default=0)
    latest_revision_id: Mapped[UUID | None]
    active_revision_id: Mapped[UUID | None]
    created_at: Mapped[Moment]
    updated_at: Mapped[Moment]
    deleted_at: Mapped[datetime | None]
    purge: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Once it is deleted: whether volumes that would be kept go with it."""

    @property
    def slug(self) -> str:
        """Its part of the public URL, `/d/<slug>`."""
        return names.slug(self.name, self.id)


@dataclass(frozen=True)
class Filter:
    """What a list is narrowed by; None does not narrow."""

    name: str | None = None
    name_contains: str | None = None
    status: DeploymentStatus | None = None
    deployment_type: str | None = None
    deployment_ids: Collection[UUID] | None = None
    image_version: str | None = None
    url: str | None = None


async def fresh_id(session: AsyncSession, make: Callable[[], UUID] = uuid4) -> UUID:
    """An id whose first eight digits no other deployment has: names and sockets are made from those. The
    caller needs it before the row exists, to bind what it seals to it; the unique column settles a race."""
    while True:
        chosen = make()
        if not await session.scalar(select(exists().where(Deployment.short == names.short(chosen)))):
            return chosen


async def create(
    session: AsyncSession,
    *,
    deployment_id: UUID,
    workspace_id: UUID,
    name: str,
    source: SourceKind,
    plane: str,
    credentials: str,
    environment: Environment,
    source_config: Mapping[str, Any] | None = None,
    source_revision_config: Mapping[str, Any] | None = None,
    secret_references: list[dict[str, Any]] | None = None,
    tracked_packages: list[str] | None = None,
    deployment_type: str | None = None,
    custom_url: str | None = None,
    shareable: bool = False,
    route_through_gateway: bool = False,
) -> Deployment:
    """A new deployment, without a revision (`wish.add` makes the first). Raises `NameTaken`."""
    row = Deployment(
        id=deployment_id,
        short=names.short(deployment_id),
        workspace_id=workspace_id,
        name=name,
        source=source,
        plane=plane,
        credentials=credentials,
        source_config=merged({}, source_config),
        source_revision_config=merged({}, source_revision_config),
        secret_references=secret_references,
        tracked_packages=tracked_packages,
        deployment_type=deployment_type,
        custom_url=custom_url,
        shareable=shareable,
        route_through_gateway=route_through_gateway,
        status=DeploymentStatus.AWAITING_DATABASE,
    )
    row.use(environment)
    try:
        async with session.begin_nested():
            session.add(row)
    except IntegrityError as error:
        if NAME_INDEX not in str(error.orig):
            raise
        raise NameTaken(name) from error
    tell(session, row.id, EventKind.DEPLOYMENT_CREATED, after=row.status, message=f"{name} was created.")
    await session.flush()
    return row


async def get(session: AsyncSession, workspace_id: UUID, deployment_id: UUID) -> Deployment | None:
    """A deployment of this very workspace, also while it is being deleted."""
    row = await session.get(Deployment, deployment_id)
    return row if row is not None and row.workspace_id == workspace_id else None


async def by_short(session: AsyncSession, shorts: Collection[str]) -> dict[str, UUID]:
    """The ids behind the eight digits that planes name deployments by."""
    query = select(Deployment.short, Deployment.id).where(Deployment.short.in_(shorts))
    return dict((await session.execute(query)).all())


async def has_host(session: AsyncSession, host: str, *, besides: UUID | None) -> bool:
    """Whether another living deployment wants that hostname. Until the transaction ends nobody else may ask for the
    same one: two who ask at once do not both get it."""
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"custom_url {host}"))))
    query = select(Deployment.custom_url).where(
        Deployment.custom_url.icontains(f"//{host}", autoescape=True), Deployment.deleted_at.is_(None)
    )
    if besides is not None:
        query = query.where(Deployment.id != besides)
    return any(urlsplit(url or "").hostname == host for url in await session.scalars(query))


async def lock(session: AsyncSession, deployment_id: UUID) -> Deployment | None:
    """The row as it is now, and nobody else's to write until the transaction ends. Rows that merely refer to
    it (log lines) may still be added."""
    query = (
        select(Deployment)
        .where(Deployment.id == deployment_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return (await session.scalars(query)).one_or_none()


async def page(
    session: AsyncSession, workspace_id: UUID, wanted: Filter, *, limit: int = 20, offset: int = 0
) -> list[Deployment]:
    """Living deployments, newest first; a name that is exactly what was searched for comes before all."""
    query = select(Deployment).where(Deployment.workspace_id == workspace_id, Deployment.deleted_at.is_(None))
    order: list[ColumnElement[Any]] = [Deployment.created_at.desc(), Deployment.id.desc()]
    for column, value in (
        (Deployment.name, wanted.name),
        (Deployment.status, wanted.status),
        (Deployment.deployment_type, wanted.deployment_type),
        (Deployment.image_version, wanted.image_version),
    ):
        if value is not None:
            query = query.where(column == value)
    if wanted.name_contains:
        part = wanted.name_contains.lower()
        query = query.where(Deployment.name.contains(part, autoescape=True))
        order.insert(0, (Deployment.name == part).desc())
    if wanted.deployment_ids is not None:
        query = query.where(Deployment.id.in_(wanted.deployment_ids))
    if wanted.url is not None:
        query = query.where(or_(Deployment.url == wanted.url, Deployment.custom_url == wanted.url))
    return list(await session.scalars(query.order_by(*order).limit(limit).offset(offset)))


async def patch(
    session: AsyncSession,
    deployment_id: UUID,
    *,
    display_name: str | None = None,
    custom_url: str | None = None,
    source_config: Mapping[str, Any] | None = None,
    shareable: bool | None = None,
    route_through_gateway: bool | None = None,
) -> Deployment | None:
    """Change what needs no revision; None keeps. Raises `Deleted`."""
    row = await lock(session, deployment_id)
    if row is None:
        return None
    if row.deleted_at is not None:
        raise Deleted(row.name)
    fields = {
        "display_name": display_name,
        "custom_url": custom_url,
        "source_config": merged(row.source_config, source_config),
        "shareable": shareable,
        "route_through_gateway": route_through_gateway,
    }
    changed = [name for name, value in fields.items() if value is not None and value != getattr(row, name)]
    for name in changed:
        setattr(row, name, fields[name])
    if changed:
        row.updated_at = now()
        tell(session, row.id, EventKind.DEPLOYMENT_CHANGED, message=f"Changed: {', '.join(changed)}.")
        await session.flush()
    return row


async def mark_ready(session: AsyncSession, row: Deployment) -> bool:
    """The databases of a locked deployment exist."""
    if row.status is not DeploymentStatus.AWAITING_DATABASE:
        return False
    _become(session, row, DeploymentStatus.READY, "The databases exist.")
    await session.flush()
    return True


async def mark_deleted(
    session: AsyncSession, deployment_id: UUID, *, purge: bool = False
) -> Deployment | None:
    """Take it off the list and free its name; the rest follows. Asking twice is asking once, but a purge may still
    be asked for as long as volumes are there."""
    row = await lock(session, deployment_id)
    if row is not None and purge:
        row.purge = True
    if row is not None and row.deleted_at is None:
        row.deleted_at = now()
        _become(session, row, DeploymentStatus.AWAITING_DELETE, "Deletion was asked for.")
        await session.flush()
    return row


async def serve(
    session: AsyncSession, row: Deployment, revision: tuple[UUID, int], *, url: str, image_version: str | None
) -> None:
    """A revision of a locked deployment serves: where, and which server version."""
    row.active_revision_id, row.url, row.image_version, row.updated_at = (
        revision[0],
        url,
        image_version,
        now(),
    )
    tell(
        session,
        row.id,
        EventKind.SERVING,
        revision=revision,
        message=f"Revision {revision[1]} serves at {url}.",
    )
    await mark_ready(session, row)
    await session.flush()


async def forget(session: AsyncSession, deployment_id: UUID) -> bool:
    """Drop the row and all that hangs on it (revisions, uploads, events, lines); the inventory stays."""
    dropped = await session.execute(
        delete(Deployment)
        .where(Deployment.id == deployment_id, Deployment.deleted_at.is_not(None))
        .returning(Deployment.id)
    )
    return dropped.scalar_one_or_none() is not None


async def counts(session: AsyncSession) -> dict[DeploymentStatus, int]:
    """How many deployments there are, by status."""
    query = select(Deployment.status, func.count()).group_by(Deployment.status)
    return dict((await session.execute(query)).all())


def _become(session: AsyncSession, row: Deployment, status: DeploymentStatus, message: str) -> None:
    tell(session, row.id, EventKind.DEPLOYMENT_STATUS, before=row.status, after=status, message=message)
    row.status, row.updated_at = status, now()
