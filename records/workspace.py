"""Workspaces: the tenants that own everything else."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from records.base import Base, Key, Moment


class Workspace(Base):
    """A tenant; its name is unique so that a stack started twice finds its own."""

    __tablename__ = "workspaces"

    id: Mapped[Key]
    name: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[Moment]


async def get(session: AsyncSession, workspace_id: UUID) -> Workspace | None:
    return await session.get(Workspace, workspace_id)


async def first(session: AsyncSession) -> Workspace | None:
    """The one that this installation began with: its owner's."""
    return await session.scalar(select(Workspace).order_by(Workspace.created_at, Workspace.id).limit(1))


async def names(session: AsyncSession, ids: set[UUID]) -> dict[UUID, str]:
    """What these are called."""
    query = select(Workspace.id, Workspace.name).where(Workspace.id.in_(ids))
    return {row.id: row.name for row in await session.execute(query)}


async def named(session: AsyncSession, name: str) -> Workspace:
    """The workspace of that name, made when there is none."""
    await session.execute(insert(Workspace).values(name=name).on_conflict_do_nothing(index_elements=["name"]))
    return (await session.scalars(select(Workspace).where(Workspace.name == name))).one()
