"""The inventory: everything ever provisioned on a plane, and whether it is gone.

Rows are entered before the thing is made, so nothing can exist that is not listed, and they outlive their
deployment: a thing that somebody forgot to take away can still be told from one that was never ours.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from records.base import Base, Counter, Moment, words
from workflows.shapes import ResourceKind


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
