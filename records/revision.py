"""Revisions: one wish each, immutable but for what became of it."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from records.base import Base, Key, Moment, words
from records.specification import Specified
from workflows.shapes import RevisionStatus, SourceKind


class Revision(Specified, Base):
    """One revision. `source_config` holds only what belongs to a revision (`REVISION_KEYS`)."""

    __tablename__ = "revisions"
    __table_args__ = (
        UniqueConstraint("deployment_id", "number"),
        Index(
            "ix_revisions_open",
            "deployment_id",
            postgresql_where="status IN ('CREATING', 'QUEUED', 'AWAITING_BUILD', 'BUILDING', 'AWAITING_DEPLOY', "
            "'DEPLOYING', 'UNKNOWN')",
        ),
    )

    id: Mapped[Key]
    deployment_id: Mapped[UUID] = mapped_column(ForeignKey("deployments.id", ondelete="CASCADE"))
    number: Mapped[int]
    source: Mapped[SourceKind] = mapped_column(words(SourceKind, "source"))
    defaults: Mapped[str | None]
    """Variables that `langgraph.json` sets, sealed; known once the image is."""
    upload_id: Mapped[UUID | None] = mapped_column(ForeignKey("uploads.id", ondelete="SET NULL"))
    image_id: Mapped[str | None]
    status: Mapped[RevisionStatus] = mapped_column(words(RevisionStatus, "status"), default=RevisionStatus.CREATING)
    cause: Mapped[dict[str, Any] | None]
    detail: Mapped[str] = mapped_column(default="")
    """What is going on, or why it ended, in a sentence."""
    interrupt_requested_at: Mapped[datetime | None]
    attended_at: Mapped[datetime | None]
    """When a rollout took it on."""
    created_at: Mapped[Moment]
    updated_at: Mapped[Moment]
