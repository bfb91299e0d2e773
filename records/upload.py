"""Uploads: source archives, from the address that was issued to the bytes that arrived."""

from collections.abc import Collection
from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, ForeignKey, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from records.base import Base, Key, Moment, words
from records.deployment import Deployment


class UploadState(StrEnum):
    """Whether the bytes are there."""

    ISSUED = "issued"
    STORED = "stored"


class AlreadyStored(Exception):
    """Other bytes were stored under this upload before; what a revision may be built from never changes."""


class Upload(Base):
    """One source archive of a deployment; the plane fetches it by its id."""

    __tablename__ = "uploads"

    id: Mapped[Key]
    deployment_id: Mapped[UUID] = mapped_column(ForeignKey("deployments.id", ondelete="CASCADE"), index=True)
    object_path: Mapped[str] = mapped_column(unique=True)
    state: Mapped[UploadState] = mapped_column(words(UploadState, "state"), default=UploadState.ISSUED)
    size: Mapped[int | None] = mapped_column(BigInteger)
    sha256: Mapped[str | None]
    created_at: Mapped[Moment]
    expires_at: Mapped[datetime]


async def issue(session: AsyncSession, deployment_id: UUID, expires_at: datetime) -> Upload:
    """A place for one archive, named by a path that clients hand back as it is."""
    upload_id = uuid4()
    path = f"uploads/{deployment_id}/{upload_id}.tar.gz"
    row = Upload(id=upload_id, deployment_id=deployment_id, object_path=path, expires_at=expires_at)
    session.add(row)
    await session.flush()
    return row


async def store(session: AsyncSession, upload_id: UUID, *, size: int, sha256: str) -> Upload | None:
    """The bytes are there. The same bytes again are welcome (clients retry), others are not."""
    row = await session.get(Upload, upload_id, with_for_update=True, populate_existing=True)
    if row is None:
        return None
    if row.state is UploadState.STORED and row.sha256 != sha256:
        raise AlreadyStored(f"upload {upload_id} already holds another archive")
    row.state, row.size, row.sha256 = UploadState.STORED, size, sha256
    await session.flush()
    return row


async def get(session: AsyncSession, upload_id: UUID) -> Upload | None:
    return await session.get(Upload, upload_id)


async def plane_of(session: AsyncSession, upload_id: UUID) -> str | None:
    """The plane of the deployment that an upload is for."""
    query = select(Deployment.plane).join(Upload, Upload.deployment_id == Deployment.id)
    return await session.scalar(query.where(Upload.id == upload_id))


async def find(session: AsyncSession, deployment_id: UUID, object_path: str) -> Upload | None:
    """The upload behind a path, if the path was issued for this very deployment."""
    query = select(Upload).where(Upload.object_path == object_path, Upload.deployment_id == deployment_id)
    return (await session.scalars(query)).one_or_none()


async def without_row(session: AsyncSession, upload_ids: Collection[UUID]) -> set[UUID]:
    """Those of these ids that no upload has any more: their bytes may go."""
    return set(upload_ids) - set(await session.scalars(select(Upload.id).where(Upload.id.in_(upload_ids))))
