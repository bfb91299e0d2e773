"""Orphans: things of ours on a plane that no deployment on record owns.

They are entered first and taken away later, by themselves only when we made them ourselves and nothing would
be lost; everything else stays until somebody asks. What is not there any more is closed, not forgotten.
"""

from datetime import datetime

from sqlalchemy import Index, String, UniqueConstraint, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from records.base import Base, Counter, Moment, now, words
from workflows.shapes import ResourceKind


class Orphan(Base):
    """One thing without an owner; open as long as `removed_at` is None."""

    __tablename__ = "orphans"
    __table_args__ = (
        UniqueConstraint("plane", "kind", "name"),
        Index("ix_orphans_open", "plane", "short", postgresql_where="removed_at IS NULL"),
    )

    id: Mapped[Counter]
    plane: Mapped[str]
    kind: Mapped[ResourceKind] = mapped_column(words(ResourceKind, "kind"))
    name: Mapped[str]
    short: Mapped[str] = mapped_column(String(8))
    """The eight digits in its name."""
    holds_data: Mapped[bool]
    known: Mapped[bool]
    """Whether our inventory has it: we made it, and forgot it or failed to take it away."""
    first_seen: Mapped[Moment]
    last_seen: Mapped[Moment]
    removed_at: Mapped[datetime | None]
    asked_at: Mapped[datetime | None]
    """When somebody asked for its removal, whatever it holds."""


async def listed(session: AsyncSession, plane: str) -> list[Orphan]:
    """What is there now, the oldest first."""
    query = select(Orphan).where(Orphan.plane == plane, Orphan.removed_at.is_(None))
    return list(await session.scalars(query.order_by(Orphan.first_seen, Orphan.id)))


async def ask_removal(session: AsyncSession, plane: str, orphan_id: int) -> Orphan | None:
    """The next sweep takes it away, even if it holds data. None when there is no such orphan any more."""
    query = (
        select(Orphan)
        .where(Orphan.id == orphan_id, Orphan.plane == plane, Orphan.removed_at.is_(None))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    row = (await session.scalars(query)).one_or_none()
    if row is not None and row.asked_at is None:
        row.asked_at = now()
        await session.flush()
    return row


async def counts(session: AsyncSession) -> dict[str, int]:
    """How many there are, by plane."""
    query = select(Orphan.plane, func.count()).where(Orphan.removed_at.is_(None)).group_by(Orphan.plane)
    return dict((await session.execute(query)).all())
