"""Addresses that hand a source archive out once, to whoever holds them: for builds, which have no plane's token.

Only a digest is kept, so nobody can read an address here; asking for one and using it up is one statement, so two who
come at once are not both served.
"""

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import ForeignKey, delete, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from records.base import Base

VALID = timedelta(minutes=10)


class Link(Base):
    """One that was handed out and not used yet."""

    __tablename__ = "source_links"

    digest: Mapped[str] = mapped_column(primary_key=True)
    upload_id: Mapped[UUID] = mapped_column(ForeignKey("uploads.id", ondelete="CASCADE"), index=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)


async def issue(session: AsyncSession, upload_id: UUID, valid: timedelta = VALID) -> str:
    """A word that opens that archive once, for some minutes. What nobody used in time goes."""
    now, token = datetime.now(UTC), secrets.token_urlsafe(32)
    await session.execute(delete(Link).where(Link.expires_at < now))
    row = {"digest": _digest(token), "upload_id": upload_id, "expires_at": now + valid}
    await session.execute(insert(Link).values(**row))
    return token


async def take(session: AsyncSession, token: str) -> UUID | None:
    """The archive that the word opens; it opens nothing from then on."""
    used = delete(Link).where(Link.digest == _digest(token)).returning(Link.upload_id, Link.expires_at)
    found = (await session.execute(used)).one_or_none()
    return found.upload_id if found is not None and found.expires_at > datetime.now(UTC) else None


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
