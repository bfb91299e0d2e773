"""Source archives in the records, sealed, for apis that share no disk: whichever took one in, any can hand it out.

An archive's parts are written in the transaction that says its upload is stored, so it is there whole or not at
all; they go with their upload.
"""

from collections.abc import AsyncIterator
from uuid import UUID

from sqlalchemy import ForeignKey, LargeBinary, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from records.base import Base

SIZE = 1 << 20


class Part(Base):
    """Some bytes of a sealed archive."""

    __tablename__ = "upload_parts"

    upload_id: Mapped[UUID] = mapped_column(ForeignKey("uploads.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)


async def replace(session: AsyncSession, upload_id: UUID, parts: AsyncIterator[bytes]) -> None:
    """Put an archive on record. The caller holds its upload's row, so two do not mix."""
    await session.execute(delete(Part).where(Part.upload_id == upload_id))
    position = 0
    async for sealed in parts:
        await session.execute(insert(Part).values(upload_id=upload_id, position=position, sealed=sealed))
        position += 1


async def read(session: AsyncSession, upload_id: UUID) -> AsyncIterator[bytes]:
    """An archive's parts in order, one in memory at a time; none if it is not here."""
    position = 0
    query = select(Part.sealed).where(Part.upload_id == upload_id)
    while (sealed := await session.scalar(query.where(Part.position == position))) is not None:
        yield sealed
        position += 1
