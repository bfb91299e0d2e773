"""The inventory: everything ever provisioned on a plane, and whether it is gone.

Rows are entered before the thing is made, so nothing can exist that is not listed, and they outlive their
deployment: a thing that somebody forgot to take away can still be told from one that was never ours.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import UniqueConstraint, case, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from records.base import Base, Counter, Moment, now, words
from workflows.names import durable_resources, replica_resources
from workflows.shapes import ResourceKind, Wish


class Item(Base):
    """One thing on one plane, by its natural name."""

    __tablename__ = "inventory"
    __table_args__ = (UniqueConstraint("kind", "name", "plane"),)

    id: Mapped[Counter]
    deployment_id: Mapped[UUID] = mapped_column(index=True)
    """No foreign key: the row outlives its deployment."""
    number: Mapped[int | None]
    """The revision that a process belongs to."""
    kind: Mapped[ResourceKind] = mapped_column(words(ResourceKind, "kind"))
    name: Mapped[str]
    plane: Mapped[str]
    provisioned_at: Mapped[Moment]
    gone_at: Mapped[datetime | None]


async def enter(session: AsyncSession, wish: Wish, plane: str) -> None:
    """Everything a revision will own; what had gone is there again."""
    rows = [
        {
            "deployment_id": wish.deployment_id,
            "number": number,
            "kind": resource.kind,
            "name": resource.name,
            "plane": plane,
            "provisioned_at": now(),
        }
        for number, resources in ((None, durable_resources(wish)), (wish.number, replica_resources(wish)))
        for resource in resources
    ]
    new = insert(Item).values(rows)
    since = case((Item.gone_at.is_(None), Item.provisioned_at), else_=new.excluded.provisioned_at)
    await session.execute(
        new.on_conflict_do_update(
            index_elements=["kind", "name", "plane"], set_={"gone_at": None, "provisioned_at": since}
        )
    )


async def mark_gone(
    session: AsyncSession, deployment_id: UUID, *, number: int | None = None, below: int | None = None
) -> int:
    """Gone: the processes of one revision, or of all below a number, or everything the deployment had."""
    query = update(Item).where(Item.deployment_id == deployment_id, Item.gone_at.is_(None))
    if number is not None:
        query = query.where(Item.number == number)
    if below is not None:
        query = query.where(Item.number < below)
    gone = await session.execute(query.values(gone_at=now()).returning(Item.id))
    return len(gone.all())


async def kinds(session: AsyncSession, deployment_id: UUID) -> set[ResourceKind]:
    """The kinds of things a deployment has now."""
    query = select(Item.kind).where(Item.deployment_id == deployment_id, Item.gone_at.is_(None)).distinct()
    return set(await session.scalars(query))


async def listed(session: AsyncSession, deployment_id: UUID) -> list[Item]:
    """Everything a deployment ever had, in the order in which it was first entered."""
    return list(
        await session.scalars(select(Item).where(Item.deployment_id == deployment_id).order_by(Item.id))
    )


async def present(session: AsyncSession, plane: str) -> list[Item]:
    """Everything that should be on a plane now, of all deployments."""
    return list(
        await session.scalars(
            select(Item).where(Item.plane == plane, Item.gone_at.is_(None)).order_by(Item.id)
        )
    )
