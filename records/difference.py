"""The rows of drift: one difference each, from its beginning to its end.

A thing differs in one aspect once at a time, so told twice is once. A process that died and ran again before
anybody looked has a row too, known by the moment of its death.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from records.base import Base, Counter, Moment, words
from workflows.accounts import Finder
from workflows.drift import Difference, Field, Severity, sentence

SAME_DEATH = timedelta(seconds=1)
"""Supervisors tell moments in whole seconds."""
EARLIER = timedelta(minutes=2)
"""How long a process may have been dead when somebody noticed who did not know since when."""


class Outcome(StrEnum):
    """How a difference ended."""

    REPAIRED = "repaired"
    GONE = "gone"
    """By itself, by somebody else's hand, or because another revision serves."""


class Drift(Base):
    """One difference from its beginning to its end; open as long as `closed_at` is None."""

    __tablename__ = "drifts"
    __table_args__ = (
        Index(
            "uq_drifts_open", "deployment_id", "field", "name", unique=True,
            postgresql_where="closed_at IS NULL",
        ),
        Index(
            "uq_drifts_past", "deployment_id", "field", "name", "since", unique=True,
            postgresql_where="past",
        ),
        Index(None, "deployment_id", "id"),
        Index(None, "plane", "found_at"),
        Index(None, "plane", "closed_at"),
    )  # fmt: skip

    id: Mapped[Counter]
    deployment_id: Mapped[UUID] = mapped_column(ForeignKey("deployments.id", ondelete="CASCADE"))
    plane: Mapped[str]
    number: Mapped[int]
    """The revision that served."""
    field: Mapped[Field] = mapped_column(words(Field, "field"))
    name: Mapped[str]
    wanted: Mapped[str]
    seen: Mapped[str]
    severity: Mapped[Severity] = mapped_column(words(Severity, "severity"))
    past: Mapped[bool] = mapped_column(default=False)
    """A process that died and ran again when it was looked at."""
    code: Mapped[str | None]
    evidence: Mapped[str] = mapped_column(default="")
    found_by: Mapped[Finder] = mapped_column(words(Finder, "found_by"))
    since: Mapped[datetime | None]
    """When it began, if the plane has evidence of that."""
    noticed_at: Mapped[datetime]
    """When a watch, a sweep or a person said that something is different."""
    found_at: Mapped[Moment]
    """When it was written down, with what exactly differs."""
    treated_at: Mapped[datetime | None]
    treatment: Mapped[str] = mapped_column(default="")
    """What was done about it last."""
    rounds: Mapped[int] = mapped_column(default=0)
    """Repairs that did not hold."""
    closed_at: Mapped[datetime | None]
    outcome: Mapped[Outcome | None] = mapped_column(words(Outcome, "outcome"))

    @property
    def key(self) -> str:
        """As differences name what they are about."""
        return f"{self.field} {self.name}"

    @property
    def began(self) -> datetime:
        """Its beginning as far as anybody knows."""
        return self.since or self.noticed_at

    @property
    def sentence(self) -> str:
        """Such as "process server-1f2e3d4c-3-0 is missing"."""
        return sentence(
            Difference(
                field=self.field,
                name=self.name,
                wanted=self.wanted,
                seen=self.seen,
                severity=self.severity,
                past=self.past,
            )
        )

    def tells_of(self, death: Difference, *, over: datetime | None = None) -> bool:
        """Whether this is that very death of that process, as it was seen while it lasted or after. One that
        lasts cannot be what is over, unless it began then; `over` says when it has just ended."""
        if (self.field, self.name) != (death.field, death.name) or death.since is None:
            return False
        if self.since is not None:
            return abs(self.since - death.since) < SAME_DEATH
        end = self.closed_at or over
        return end is not None and self.noticed_at - EARLIER <= death.since <= end
