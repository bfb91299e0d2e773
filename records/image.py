"""Images and the builds that made or found them."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from records.base import Base, Key, Moment, words


class BuildOutcome(StrEnum):
    """How a build ended."""

    BUILT = "built"
    REUSED = "reused"
    FAILED = "failed"
    GIVEN_UP = "given_up"


class Image(Base):
    """An image on one plane, by its digest; `collected_at` says that the plane may have dropped it."""

    __tablename__ = "images"

    id: Mapped[str] = mapped_column(primary_key=True)
    plane: Mapped[str] = mapped_column(primary_key=True)
    source_digest: Mapped[str]
    lock_digest: Mapped[str]
    server: Mapped[str]
    builder: Mapped[str]
    python: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    graphs: Mapped[list[str]]
    created_at: Mapped[Moment]
    collected_at: Mapped[datetime | None]


class Build(Base):
    """The building of one revision's image."""

    __tablename__ = "builds"

    id: Mapped[Key]
    revision_id: Mapped[UUID] = mapped_column(ForeignKey("revisions.id", ondelete="CASCADE"), unique=True)
    image_id: Mapped[str | None]
    reused: Mapped[bool] = mapped_column(default=False)
    started_at: Mapped[Moment]
    finished_at: Mapped[datetime | None]
    outcome: Mapped[BuildOutcome | None] = mapped_column(words(BuildOutcome, "outcome"))
