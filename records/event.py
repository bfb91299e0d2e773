"""The timeline: every change of a deployment and its revisions, with its reason, in the words of the cause.

An event is written in the transaction that makes the change, under the lock of the deployment's row. So ids
rise in the order of commits, and a reader who asks for what came after an id misses nothing.
"""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from records.base import Base, Counter, Moment, now, words
from workflows.causes import Cause


class EventKind(StrEnum):
    """What an event tells of."""

    DEPLOYMENT_CREATED = "deployment.created"
    DEPLOYMENT_CHANGED = "deployment.changed"
    DEPLOYMENT_STATUS = "deployment.status"
    REVISION_CREATED = "revision.created"
    REVISION_STATUS = "revision.status"
    REVISION_INTERRUPT = "revision.interrupt"
    IMAGE_RECORDED = "image.recorded"
    SERVING = "serving"
    RETIRED = "retired"
    DRIFT_FOUND = "drift.found"
    DRIFT_REPAIRED = "drift.repaired"
    DRIFT_GONE = "drift.gone"
    """What differed does not any more, and not by our doing."""
    DRIFT_STATE = "drift.state"


class Event(Base):
    """One thing that happened."""

    __tablename__ = "events"
    __table_args__ = (Index(None, "deployment_id", "id"),)

    id: Mapped[Counter]
    deployment_id: Mapped[UUID] = mapped_column(ForeignKey("deployments.id", ondelete="CASCADE"))
    revision_id: Mapped[UUID | None]
    number: Mapped[int | None]
    at: Mapped[Moment]
    kind: Mapped[EventKind] = mapped_column(words(EventKind, "kind"))
    before: Mapped[str | None]
    after: Mapped[str | None]
    code: Mapped[str | None]
    message: Mapped[str] = mapped_column(default="")
    fix: Mapped[str] = mapped_column(default="")
    took_ms: Mapped[int | None] = mapped_column(BigInteger)
    """How long the state before had lasted."""


def tell(
    session: AsyncSession,
    deployment_id: UUID,
    kind: EventKind,
    *,
    revision: tuple[UUID, int] | None = None,
    before: str | None = None,
    after: str | None = None,
    message: str = "",
    cause: Cause | None = None,
    since: datetime | None = None,
) -> None:
    """Add an event to the transaction; `revision` is its id and number, `since` when `before` began."""
    at = now()
    session.add(
        Event(
            deployment_id=deployment_id,
            revision_id=revision[0] if revision else None,
            number=revision[1] if revision else None,
            at=at,
            kind=kind,
            before=before,
            after=after,
            code=cause.code if cause else None,
            message=cause.message if cause else message,
            fix=cause.fix if cause else "",
            took_ms=max(0, round((at - since).total_seconds() * 1000)) if since else None,
        )
    )


async def listed(
    session: AsyncSession,
    deployment_id: UUID,
    *,
    after: int = 0,
    limit: int = 100,
    offset: int = 0,
    newest_first: bool = False,
) -> list[Event]:
    """Events with an id above `after`, oldest first unless told otherwise."""
    order = Event.id.desc() if newest_first else Event.id
    query = (
        select(Event)
        .where(Event.deployment_id == deployment_id, Event.id > after)
        .order_by(order)
        .limit(limit)
        .offset(offset)
    )
    return list(await session.scalars(query))
