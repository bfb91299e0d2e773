"""Revisions: one wish each, immutable but for what became of it."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, UniqueConstraint, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from records import deployment
from records.base import Base, Key, Moment, now, words
from records.event import EventKind, tell
from records.specification import Specified
from workflows.causes import Cause, Code
from workflows.shapes import ENDED, RevisionStatus, SourceKind

OPEN = tuple(status for status in RevisionStatus if status not in ENDED)
WAY = (
    RevisionStatus.CREATING,
    RevisionStatus.QUEUED,
    RevisionStatus.AWAITING_BUILD,
    RevisionStatus.BUILDING,
    RevisionStatus.AWAITING_DEPLOY,
    RevisionStatus.DEPLOYING,
)
"""The statuses in the order in which a revision goes through them, as far as it gets."""


class Revision(Specified, Base):
    """One revision. `source_config` holds only what belongs to a revision (`REVISION_KEYS`)."""

    __tablename__ = "revisions"
    __table_args__ = (
        UniqueConstraint("deployment_id", "number"),
        Index(
            "ix_revisions_open",
            "deployment_id",
            postgresql_where="status IN ('CREATING', 'QUEUED', 'AWAITING_BUILD', 'BUILDING', "
            "'AWAITING_DEPLOY', 'DEPLOYING', 'UNKNOWN')",
        ),
    )

    id: Mapped[Key]
    deployment_id: Mapped[UUID] = mapped_column(ForeignKey("deployments.id", ondelete="CASCADE"))
    number: Mapped[int]
    source: Mapped[SourceKind] = mapped_column(words(SourceKind, "source"))
    defaults: Mapped[str | None]
    """Variables that `langgraph.json` sets, sealed; known once the image is."""
    upload_id: Mapped[UUID | None] = mapped_column(ForeignKey("uploads.id", ondelete="SET NULL"), index=True)
    image_id: Mapped[str | None]
    status: Mapped[RevisionStatus] = mapped_column(
        words(RevisionStatus, "status"), default=RevisionStatus.CREATING
    )
    status_since: Mapped[Moment]
    cause: Mapped[dict[str, Any] | None]
    detail: Mapped[str] = mapped_column(default="")
    """What is going on, or why it ended, in a sentence."""
    interrupt_requested_at: Mapped[datetime | None]
    attended_at: Mapped[datetime | None]
    """When a rollout took it on."""
    created_at: Mapped[Moment]
    updated_at: Mapped[Moment]

    @property
    def key(self) -> tuple[UUID, int]:
        """What an event names it by."""
        return self.id, self.number


async def get(session: AsyncSession, deployment_id: UUID, revision_id: UUID) -> Revision | None:
    """A revision of this very deployment."""
    row = await session.get(Revision, revision_id)
    return row if row is not None and row.deployment_id == deployment_id else None


async def newest(session: AsyncSession, deployment_id: UUID) -> Revision | None:
    query = (
        select(Revision)
        .where(Revision.deployment_id == deployment_id)
        .order_by(Revision.number.desc())
        .limit(1)
    )
    return (await session.scalars(query)).one_or_none()


async def page(
    session: AsyncSession,
    deployment_id: UUID,
    *,
    statuses: Collection[RevisionStatus] | None = None,
    limit: int = 20,
    offset: int = 0,
) -> list[Revision]:
    """Newest first."""
    query = select(Revision).where(Revision.deployment_id == deployment_id)
    if statuses is not None:
        query = query.where(Revision.status.in_(statuses))
    return list(await session.scalars(query.order_by(Revision.number.desc()).limit(limit).offset(offset)))


async def by_number(session: AsyncSession, deployment_id: UUID, numbers: Collection[int]) -> dict[int, UUID]:
    """The ids behind the numbers that planes name revisions by."""
    query = select(Revision.number, Revision.id).where(
        Revision.deployment_id == deployment_id, Revision.number.in_(numbers)
    )
    return dict((await session.execute(query)).all())


async def still_open(
    session: AsyncSession, deployment_id: UUID, *, below: int | None = None
) -> list[Revision]:
    """Revisions whose story is not over, oldest first; with `below`, only lower numbers."""
    query = select(Revision).where(Revision.deployment_id == deployment_id, Revision.status.in_(OPEN))
    if below is not None:
        query = query.where(Revision.number < below)
    return list(
        await session.scalars(query.order_by(Revision.number).execution_options(populate_existing=True))
    )


async def counts(session: AsyncSession) -> dict[RevisionStatus, int]:
    """How many open revisions there are, by status; ended ones are history, and many."""
    query = select(Revision.status, func.count()).where(Revision.status.in_(OPEN)).group_by(Revision.status)
    return dict((await session.execute(query)).all())


async def hold(session: AsyncSession, deployment_id: UUID, revision_id: UUID, number: int) -> Revision | None:
    """Lock the deployment, then the revision; None unless that revision has that number."""
    if await deployment.lock(session, deployment_id) is None:
        return None
    query = (
        select(Revision)
        .where(Revision.id == revision_id, Revision.deployment_id == deployment_id, Revision.number == number)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return (await session.scalars(query)).one_or_none()


async def is_wanted(session: AsyncSession, row: Revision) -> bool:
    """Whether nobody has asked for an end of a held revision: it is the newest, and not interrupted, and its
    deployment is not being deleted."""
    owner = await deployment.lock(session, row.deployment_id)
    newest = owner is not None and owner.deleted_at is None and owner.last_number == row.number
    return newest and not row.status.ended and row.interrupt_requested_at is None


async def advance(session: AsyncSession, row: Revision, to: RevisionStatus, detail: str = "") -> bool:
    """The next status of a held revision, or a new detail; never back, never past an end."""
    if row.status.ended or to not in WAY or (row.status in WAY and WAY.index(to) < WAY.index(row.status)):
        return False
    if row.status is to and (not detail or row.detail == detail):
        return False
    _become(session, row, to, detail)
    await session.flush()
    return True


async def end(
    session: AsyncSession, row: Revision, status: RevisionStatus, cause: Cause | None = None
) -> bool:
    """The last word on a held revision. Skipped because a person asked for an end means interrupted."""
    if not status.ended:
        raise ValueError(f"{status} is not an end")
    if row.status.ended:
        return False
    if status is RevisionStatus.SKIPPED and row.interrupt_requested_at is not None:
        status = RevisionStatus.INTERRUPTED
        cause = Cause(
            code=Code.INTERRUPTED, message="Interrupted on request.", fix="Redeploy it to try again."
        )
    row.cause = cause.model_dump(mode="json") if cause else None
    _become(session, row, status, str(cause) if cause else "", cause)
    await session.flush()
    return True


async def claim(session: AsyncSession, row: Revision) -> bool:
    """A rollout takes a held revision on. Whatever is older and open was overtaken: one rollout at a time."""
    for older in await still_open(session, row.deployment_id, below=row.number):
        message = f"Revision {row.number} is newer and was taken on instead."
        await end(session, older, RevisionStatus.SKIPPED, Cause(code=Code.SUPERSEDED, message=message))
    if row.status.ended:
        return False
    row.attended_at = row.attended_at or now()
    await advance(session, row, RevisionStatus.QUEUED)
    await session.flush()
    return True


def _become(
    session: AsyncSession, row: Revision, status: RevisionStatus, detail: str, cause: Cause | None = None
) -> None:
    tell(
        session,
        row.deployment_id,
        EventKind.REVISION_STATUS,
        revision=row.key,
        before=row.status,
        after=status,
        message=detail,
        cause=cause,
        since=row.status_since if row.status is not status else None,
    )
    row.updated_at = now()
    if row.status is not status:
        row.status, row.status_since = status, row.updated_at
    row.detail = detail
