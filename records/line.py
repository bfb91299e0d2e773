"""Log lines of builds and servers, in the order in which they became readable.

A line's id is the cursor callers page with, so ids must rise in the order of commits: batches of one
deployment are written one at a time. A line is known by its stream and its position there, so a shipper may
send a batch again.
"""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from records.base import Base, Counter, words


class LogKind(StrEnum):
    """Whose lines: the build's or the servers'."""

    BUILD = "build"
    DEPLOY = "deploy"


class Line(Base):
    """One log line."""

    __tablename__ = "log_lines"
    __table_args__ = (
        UniqueConstraint("stream", "position"),
        Index(None, "deployment_id", "kind", "id"),
        Index(None, "revision_id", "kind", "id"),
        Index(None, "deployment_id", "kind", "at"),
    )

    id: Mapped[Counter]
    deployment_id: Mapped[UUID] = mapped_column(ForeignKey("deployments.id", ondelete="CASCADE"))
    revision_id: Mapped[UUID | None]
    kind: Mapped[LogKind] = mapped_column(words(LogKind, "kind"))
    at: Mapped[datetime]
    level: Mapped[str]
    message: Mapped[str]
    replica: Mapped[str | None]
    stream: Mapped[str]
    position: Mapped[int] = mapped_column(BigInteger)
