"""Orphans: things of ours on a plane that no deployment on record owns.

They are entered first and taken away later, by themselves only when we made them ourselves and nothing would
be lost; everything else stays until somebody asks. What is not there any more is closed, not forgotten.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Index, String, UniqueConstraint, case, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from records.base import Base, Counter, Moment, now, within, words
from records.inventory import Item
from workflows.shapes import Resource, ResourceKind


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

    @property
    def place(self) -> tuple[ResourceKind, str]:
        """What it is known by on its plane."""
        return self.kind, self.name

    @property
    def resource(self) -> Resource:
        """As a plane names it."""
        return Resource(kind=self.kind, name=self.name, holds_data=self.holds_data)


async def enter(
    session: AsyncSession,
    plane: str,
    things: Sequence[tuple[str, Resource]],
    *,
    first: str,
    end: str | None,
) -> list[Orphan]:
    """All that nobody owns in one range of a plane, by the eight digits in its name; what is on record and
    not among it is closed. Answered is what is open now."""
    seen = {(thing.kind, thing.name): (short, thing) for short, thing in things}
    here = (Orphan.plane == plane, Orphan.removed_at.is_(None), *within(Orphan.short, first, end))
    gone = [row.id for row in await session.scalars(select(Orphan).where(*here)) if row.place not in seen]
    if gone:
        await session.execute(update(Orphan).where(Orphan.id.in_(gone)).values(removed_at=now()))
    if not seen:
        return []
    made = select(Item.kind, Item.name).where(Item.plane == plane, Item.name.in_({name for _, name in seen}))
    known = {(kind, name) for kind, name in await session.execute(made)}
    at = now()
    new = insert(Orphan).values(
        [
            {
                "plane": plane,
                "kind": kind,
                "name": name,
                "short": short,
                "holds_data": thing.holds_data,
                "known": (kind, name) in known,
                "first_seen": at,
                "last_seen": at,
            }
            for (kind, name), (short, thing) in sorted(seen.items())
        ]
    )
    there = Orphan.removed_at.is_(None)
    entered = new.on_conflict_do_update(
        index_elements=["plane", "kind", "name"],
        set_={
            "first_seen": case((there, Orphan.first_seen), else_=new.excluded.first_seen),
            "asked_at": case((there, Orphan.asked_at), else_=None),
            "last_seen": new.excluded.last_seen,
            "holds_data": new.excluded.holds_data,
            "known": new.excluded.known,
            "removed_at": None,
        },
    )
    rows = await session.scalars(entered.returning(Orphan), execution_options={"populate_existing": True})
    return sorted(rows, key=lambda row: (row.first_seen, row.id))


def due(orphans: Sequence[Orphan], grace: timedelta) -> list[Orphan]:
    """Those to be taken away now: asked for, or ours, empty and reported for long enough."""
    return [
        row
        for row in orphans
        if row.asked_at is not None or (row.known and not row.holds_data and row.first_seen <= now() - grace)
    ]


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
