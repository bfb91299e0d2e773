"""Wishes nobody acts on: what a lost nudge or a lost workflow leaves behind, found by looking at the rows."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from records.base import now
from records.deployment import Deployment
from records.revision import OPEN, Revision


@dataclass(frozen=True)
class Waiting:
    """A deployment that should have been looked at, and since when."""

    deployment: Deployment
    since: datetime


async def overdue(
    session: AsyncSession, plane: str, *, patience: timedelta, stuck: timedelta
) -> list[Waiting]:
    """Deployments of a plane with a wish, an interrupt or a deletion older than `patience` that nobody took
    on, or a rollout that has not moved for `stuck`; the longest waiting first."""
    limit: ColumnElement[datetime] = case(
        (Revision.attended_at.is_(None), now() - patience), else_=now() - stuck
    )
    moved = case((Revision.attended_at.is_(None), Revision.created_at), else_=Revision.updated_at)
    interrupted = Revision.interrupt_requested_at <= now() - patience
    wishes = (
        select(
            Revision.deployment_id,
            func.min(case((interrupted, Revision.interrupt_requested_at), else_=moved)).label("since"),
        )
        .where(Revision.status.in_(OPEN), or_(interrupted, moved <= limit))
        .group_by(Revision.deployment_id)
        .subquery()
    )
    deleted = Deployment.deleted_at <= now() - patience
    since = func.least(wishes.c.since, case((deleted, Deployment.deleted_at)))
    query = (
        select(Deployment, since)
        .outerjoin(wishes, wishes.c.deployment_id == Deployment.id)
        .where(Deployment.plane == plane, or_(deleted, wishes.c.since.is_not(None)))
        .order_by(since, Deployment.id)
    )
    return [Waiting(row, moment) for row, moment in await session.execute(query)]


async def under_way(session: AsyncSession, plane: str) -> list[Waiting]:
    """Deployments of a plane with a revision that a rollout took on and that has not ended, and when it last
    moved: somebody should be at work on each."""
    moved = func.max(Revision.updated_at)
    query = (
        select(Deployment, moved)
        .join(Revision, Revision.deployment_id == Deployment.id)
        .where(Deployment.plane == plane, Revision.status.in_(OPEN), Revision.attended_at.is_not(None))
        .group_by(Deployment.id)
        .order_by(moved, Deployment.id)
    )
    return [Waiting(row, moment) for row, moment in await session.execute(query)]


async def living(session: AsyncSession, plane: str) -> int:
    """How many deployments a plane has, those being deleted included."""
    return (
        await session.scalars(select(func.count()).select_from(Deployment).where(Deployment.plane == plane))
    ).one()
