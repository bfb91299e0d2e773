"""Drift on record: what differed, since when, who noticed, what was done about it and how long it took.

Whoever looked tells the whole of what differs now; a row is opened for what is new, and what is not there any
more is closed. So an account may come twice or not at all: the next one says the same. Everything happens
under the lock of the deployment's row, and every opening, closing and change of state is an event.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ForeignKey, Index, Interval, cast, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from records import deployment
from records.base import Base, Counter, Moment, now, storable, words
from records.deployment import Deleted, Deployment
from records.event import EventKind, tell
from workflows.accounts import Account, Finder
from workflows.causes import Cause, Code
from workflows.drift import Difference, Field, Severity, sentence
from workflows.mending import State
from workflows.shapes import Policy

MOST_EVIDENCE = 8_000
"""Characters kept of a dead process's last lines: the last ones, where the reason is."""
MOST_SEEN = 500
SAME_DEATH = timedelta(seconds=2)
"""Supervisors tell moments in whole seconds."""
EARLIER = timedelta(minutes=2)
"""How long a process may have been dead when somebody noticed who did not know since when."""
TAKES_EFFECT = timedelta(minutes=5)
"""What goes away so soon after it was treated went because of that."""
BY_SUPERVISOR = "Its supervisor started it again."


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


@dataclass(frozen=True)
class Score:
    """How drift was met in a stretch of time; moments in seconds, None where nothing was measured."""

    found: int
    repaired: int
    gone: int
    open: int
    detected_p50: float | None
    detected_p95: float | None
    repaired_p50: float | None
    repaired_p95: float | None


async def account(session: AsyncSession, told: Account) -> None:
    """Write down one look at a deployment: open what is new, close what is over, say how it stands."""


async def open_of(session: AsyncSession, deployment_id: UUID) -> list[Drift]:
    """What differs now, in the order in which it was found."""
    query = select(Drift).where(Drift.deployment_id == deployment_id, Drift.closed_at.is_(None))
    return list(await session.scalars(query.order_by(Drift.id).execution_options(populate_existing=True)))


async def recent(
    session: AsyncSession, deployment_id: UUID, limit: int = 20, offset: int = 0
) -> list[Drift]:
    """What differed, newest first, open or closed."""
    query = select(Drift).where(Drift.deployment_id == deployment_id)
    return list(await session.scalars(query.order_by(Drift.id.desc()).limit(limit).offset(offset)))


async def score(
    session: AsyncSession,
    since: datetime,
    *,
    deployment_id: UUID | None = None,
    plane: str | None = None,
    workspace_id: UUID | None = None,
) -> Score:
    """Found and closed from that moment on, and open now; None does not narrow."""
    began = func.coalesce(Drift.since, Drift.noticed_at)
    fresh = Drift.found_at >= since
    mended = (Drift.outcome == Outcome.REPAIRED) & (Drift.closed_at >= since)
    noticed = fresh & Drift.since.is_not(None)
    detecting, repairing = Drift.noticed_at - Drift.since, Drift.closed_at - began
    query = select(
        func.count().filter(fresh),
        func.count().filter(mended),
        func.count().filter((Drift.outcome == Outcome.GONE) & (Drift.closed_at >= since)),
        func.count().filter(Drift.closed_at.is_(None)),
        *(
            func.percentile_cont(part)
            .within_group(func.greatest(func.extract("epoch", cast(span, Interval)), 0))
            .filter(which)
            for span, which in ((detecting, noticed), (repairing, mended))
            for part in (0.5, 0.95)
        ),
    ).where((Drift.found_at >= since) | (Drift.closed_at >= since) | Drift.closed_at.is_(None))
    if deployment_id is not None:
        query = query.where(Drift.deployment_id == deployment_id)
    if plane is not None:
        query = query.where(Drift.plane == plane)
    if workspace_id is not None:
        query = query.join(Deployment).where(Deployment.workspace_id == workspace_id)
    found, repaired, gone, still, *spans = (await session.execute(query)).one()
    return Score(found, repaired, gone, still, *(None if it is None else float(it) for it in spans))


async def set_policy(session: AsyncSession, deployment_id: UUID, policy: Policy) -> Deployment | None:
    """What is to be done about drift from now on. None when there is no such deployment; raises `Deleted`."""
    raise NotImplementedError


async def counts(session: AsyncSession) -> dict[tuple[str, Field, Severity], int]:
    """How many differences are open, by plane, field and severity."""
    group = (Drift.plane, Drift.field, Drift.severity)
    query = select(*group, func.count()).where(Drift.closed_at.is_(None)).group_by(*group)
    return {(row[0], row[1], row[2]): row[3] for row in await session.execute(query)}
