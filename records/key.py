"""API keys: shown once, kept as a digest, scoped to a workspace."""

import hashlib
import secrets
from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, LargeBinary, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from records.base import Base, Key, Moment, now


class ApiKey(Base):
    """One key. A plain SHA-256 suffices: the key is 256 random bits, there is nothing to guess."""

    __tablename__ = "api_keys"

    id: Mapped[Key]
    workspace_id: Mapped[UUID] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"), index=True)
    name: Mapped[str]
    prefix: Mapped[str]
    """The key's first characters, for a person who wonders which one it is."""
    digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    created_at: Mapped[Moment]
    revoked_at: Mapped[datetime | None]


def mint() -> str:
    """A fresh key in the open; only its digest is ever stored."""
    return f"gy_{secrets.token_urlsafe(32)}"


def digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


async def enter(session: AsyncSession, workspace_id: UUID, name: str, secret: str) -> ApiKey:
    """Put a key on record; the one that is there already, if it is, even revoked."""
    known = await session.scalars(select(ApiKey).where(ApiKey.digest == digest(secret)))
    if found := known.one_or_none():
        return found
    row = ApiKey(workspace_id=workspace_id, name=name, prefix=secret[:7], digest=digest(secret))
    session.add(row)
    await session.flush()
    return row


async def find(session: AsyncSession, secret: str) -> ApiKey | None:
    """The key that this secret is, unless it was revoked."""
    return (
        await session.scalars(
            select(ApiKey).where(ApiKey.digest == digest(secret), ApiKey.revoked_at.is_(None))
        )
    ).one_or_none()


async def listed(session: AsyncSession, workspace_id: UUID) -> list[ApiKey]:
    """Every key of a workspace, newest first."""
    query = (
        select(ApiKey)
        .where(ApiKey.workspace_id == workspace_id)
        .order_by(ApiKey.created_at.desc(), ApiKey.id)
    )
    return list(await session.scalars(query))


async def revoke(session: AsyncSession, workspace_id: UUID, key_id: UUID) -> ApiKey | None:
    """Close a key for good."""
    row = await session.get(ApiKey, key_id, with_for_update=True)
    if row is None or row.workspace_id != workspace_id:
        return None
    row.revoked_at = row.revoked_at or now()
    return row
