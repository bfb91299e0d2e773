"""Listeners: the data planes of a workspace that live in somebody's cluster. Read only for now."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, UniqueConstraint, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from records.base import Base, Key, Moment, now


class Listener(Base):
    """One data plane of a workspace."""

    __tablename__ = "listeners"
    __table_args__ = (UniqueConstraint("workspace_id", "compute_id"),)

    id: Mapped[Key]
    workspace_id: Mapped[UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"))
    compute_type: Mapped[str]
    compute_id: Mapped[str]
    compute_config: Mapped[dict[str, Any]]
    version: Mapped[str | None]
    created_at: Mapped[Moment]
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)


async def get(session: AsyncSession, workspace_id: UUID, listener_id: UUID) -> Listener | None:
    row = await session.get(Listener, listener_id)
    return row if row is not None and row.workspace_id == workspace_id else None


async def page(
    session: AsyncSession, workspace_id: UUID, *, limit: int = 20, offset: int = 0
) -> list[Listener]:
    """Newest first."""
    query = (
        select(Listener)
        .where(Listener.workspace_id == workspace_id)
        .order_by(Listener.created_at.desc(), Listener.id)
        .limit(limit)
        .offset(offset)
    )
    return list(await session.scalars(query))
