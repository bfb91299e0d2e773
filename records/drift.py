"""Drift on record: what differed, since when, who noticed, what was done about it and how long it took.

Whoever looked tells the whole of what differs now; a row is opened for what is new, and what is not there any
more is closed. So an account may come twice or not at all: the next one says the same. Everything happens
under the lock of the deployment's row, and every opening, closing and change of state is an event.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Interval, cast, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from records import deployment
from records.base import now, storable
from records.deployment import Deleted, Deployment
from records.difference import Drift as Drift
from records.difference import Outcome as Outcome
from records.event import EventKind, tell
from records.look import Look
from workflows.accounts import Account
from workflows.drift import Field, Severity
from workflows.mending import State
from workflows.shapes import Policy

MOST_KEPT = 1_000
"""So many closed differences a deployment keeps at least, however often it crashes."""
TRIM_EVERY = 100


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
    """Write down one look at a deployment: open what is new, close what is over, say how it stands. One that
    is older than what is on record, or of a deployment that is being deleted, says nothing."""
    owner = await deployment.lock(session, told.deployment_id)
    if owner is None or owner.deleted_at is not None:
        return
    # A clock that was set back must not silence everybody until it has caught up.
    if owner.drift_looked_at is not None and told.at < owner.drift_looked_at <= now():
        return
    if told.state is not State.PAUSED:
        opened = await Look(session, owner, told).enter(await open_of(session, owner.id))
        owner.drift_looked_at = told.at
        # Most often that is the one that crashes most.
        if any(row.id % TRIM_EVERY == 0 for row in opened):
            await _trim(session, owner.id)
    _stand(session, owner, told.state, told.why, revision=(told.revision_id, told.number))
    owner.drift_next_try_at = told.next_try_at
    await session.flush()


async def set_policy(session: AsyncSession, deployment_id: UUID, policy: Policy) -> Deployment | None:
    """What is to be done about drift from now on. None when there is no such deployment; raises `Deleted`."""
    owner = await deployment.lock(session, deployment_id)
    if owner is None:
        return None
    if owner.deleted_at is not None:
        raise Deleted(owner.name)
    if owner.policy is policy:
        return owner
    tell(
        session,
        owner.id,
        EventKind.DEPLOYMENT_CHANGED,
        before=owner.policy,
        after=policy,
        message=f"Drift policy: {policy}.",
    )
    owner.policy, owner.drift_next_try_at, owner.updated_at = policy, None, now()
    if policy is Policy.PAUSED:
        _stand(session, owner, State.PAUSED, "Nobody looks: drift is paused.")
    elif owner.drift_state is State.PAUSED:
        # Until somebody has looked it is as it was when nobody did any more.
        still = await open_of(session, owner.id)
        _stand(session, owner, State.REPORTED if still else State.STEADY, "To be looked at again.")
    await session.flush()
    return owner


async def open_of(session: AsyncSession, deployment_id: UUID) -> list[Drift]:
    """What differs now, in the order in which it was found."""
    query = select(Drift).where(Drift.deployment_id == deployment_id, Drift.closed_at.is_(None))
    return list(await session.scalars(query.order_by(Drift.id).execution_options(populate_existing=True)))


async def recent(session: AsyncSession, deployment_id: UUID, limit: int = 20, offset: int = 0) -> list[Drift]:
    """What differed, newest first, open or closed."""
    query = select(Drift).where(Drift.deployment_id == deployment_id)
    return list(await session.scalars(query.order_by(Drift.id.desc()).limit(limit).offset(offset)))


async def closed(session: AsyncSession, deployment_id: UUID, limit: int = 20, offset: int = 0) -> list[Drift]:
    """What differed and does not any more, newest first."""
    query = select(Drift).where(Drift.deployment_id == deployment_id, Drift.closed_at.is_not(None))
    return list(await session.scalars(query.order_by(Drift.id.desc()).limit(limit).offset(offset)))


async def differing(
    session: AsyncSession, plane: str, workspace_id: UUID, limit: int = 100
) -> list[tuple[Deployment, int]]:
    """Deployments of a workspace on that plane that differ now, and in how many ways; the longest first."""
    query = (
        select(Deployment, func.count(Drift.id))
        .join(Drift, (Drift.deployment_id == Deployment.id) & Drift.closed_at.is_(None))
        .where(Deployment.plane == plane, Deployment.workspace_id == workspace_id)
        .where(Deployment.deleted_at.is_(None))
        .group_by(Deployment.id)
        .order_by(func.min(Drift.id))
        .limit(limit)
    )
    return [(row[0], row[1]) for row in await session.execute(query)]


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


async def forget(session: AsyncSession, plane: str, before: datetime) -> int:
    """Drop what was closed before that moment; how many went."""
    gone = await session.execute(
        delete(Drift).where(Drift.plane == plane, Drift.closed_at < before).returning(Drift.id)
    )
    return len(gone.all())


async def counts(session: AsyncSession) -> dict[tuple[str, Field, Severity], int]:
    """How many differences are open, by plane, field and severity."""
    group = (Drift.plane, Drift.field, Drift.severity)
    query = select(*group, func.count()).where(Drift.closed_at.is_(None)).group_by(*group)
    return {(row[0], row[1], row[2]): row[3] for row in await session.execute(query)}


async def _trim(session: AsyncSession, deployment_id: UUID) -> None:
    """Keep the newest rows of a deployment that crashes all the time."""
    own = (Drift.deployment_id == deployment_id, Drift.closed_at.is_not(None))
    last = select(Drift.id).where(*own).order_by(Drift.id.desc()).offset(MOST_KEPT).limit(1)
    if (surplus := await session.scalar(last)) is not None:
        await session.execute(delete(Drift).where(*own, Drift.id <= surplus))


def _stand(
    session: AsyncSession,
    owner: Deployment,
    state: State,
    why: str,
    *,
    revision: tuple[UUID, int] | None = None,
) -> None:
    """How a locked deployment stands to its record now."""
    owner.drift_why = storable(why)
    if owner.drift_state is state:
        return
    tell(
        session,
        owner.id,
        EventKind.DRIFT_STATE,
        revision=revision,
        before=owner.drift_state,
        after=state,
        message=owner.drift_why,
        since=owner.drift_since,
    )
    owner.drift_state, owner.drift_since = state, now()
