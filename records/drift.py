"""Drift on record: what differed, since when, who noticed, what was done about it and how long it took.

Whoever looked tells the whole of what differs now; a row is opened for what is new, and what is not there any
more is closed. So an account may come twice or not at all: the next one says the same. Everything happens
under the lock of the deployment's row, and every opening, closing and change of state is an event.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Interval, cast, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from records import deployment
from records.base import now, storable
from records.deployment import Deleted, Deployment
from records.difference import SAME_DEATH
from records.difference import Drift as Drift
from records.difference import Outcome as Outcome
from records.event import EventKind, tell
from workflows.accounts import Account
from workflows.causes import Cause, Code
from workflows.drift import Difference, Field, Severity, sentence
from workflows.mending import State
from workflows.shapes import Policy

MOST_EVIDENCE = 8_000
"""Characters kept of a dead process's last lines: the last ones, where the reason is."""
MOST_SEEN = 500
TAKES_EFFECT = timedelta(minutes=5)
"""What goes away so soon after it was treated went because of that."""
BY_SUPERVISOR = "Its supervisor started it again."


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
    if owner.drift_looked_at is not None and told.at < owner.drift_looked_at:
        return
    if told.state is not State.PAUSED:
        await _Look(session, owner, told).enter()
        owner.drift_looked_at = told.at
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


async def counts(session: AsyncSession) -> dict[tuple[str, Field, Severity], int]:
    """How many differences are open, by plane, field and severity."""
    group = (Drift.plane, Drift.field, Drift.severity)
    query = select(*group, func.count()).where(Drift.closed_at.is_(None)).group_by(*group)
    return {(row[0], row[1], row[2]): row[3] for row in await session.execute(query)}


class _Look:
    """One account on its way into the rows of a locked deployment."""

    def __init__(self, session: AsyncSession, owner: Deployment, told: Account) -> None:
        self._session = session
        self._owner = owner
        self._told = told
        known = [_stored(one, told) for one in told.differences]
        self._past = [one for one in known if one.past]
        self._present = {one.key: one for one in known if not one.past}

    async def enter(self) -> None:
        rows = {row.key: row for row in await open_of(self._session, self._owner.id)}
        for key, row in rows.items():
            if key in self._present:
                self._update(row, self._present[key])
            else:
                self._close(row)
        for key, one in self._present.items():
            if key not in rows:
                self._open(one)
        # After the rows that were open: a death that was noticed while it lasted is on record already.
        for one in self._past:
            known = [row for row in await self._alike(one) if row.tells_of(one)]
            if not known:
                self._end(self._open(one), Outcome.REPAIRED, BY_SUPERVISOR)
            elif known[0].since is None:
                known[0].since = one.since
        await self._session.flush()

    async def _alike(self, one: Difference) -> list[Drift]:
        """Rows of the same thing that may be about the same death."""
        assert one.since is not None
        query = select(Drift).where(
            Drift.deployment_id == self._owner.id,
            Drift.field == one.field,
            Drift.name == one.name,
            or_(Drift.closed_at.is_(None), Drift.closed_at >= one.since - SAME_DEATH),
        )
        return list(await self._session.scalars(query.order_by(Drift.id)))

    def _open(self, one: Difference) -> Drift:
        told = self._told
        noticed = max(told.notice.at, one.since) if one.since else told.notice.at
        row = Drift(
            **one.model_dump(),
            deployment_id=self._owner.id,
            plane=self._owner.plane,
            number=told.number,
            found_by=told.notice.by,
            noticed_at=min(noticed, told.at),
            found_at=now(),
            rounds=0,
            treatment="",
        )
        self._session.add(row)
        self._tell(row, EventKind.DRIFT_FOUND, f"{_capital(sentence(one))}.")
        return row

    def _update(self, row: Drift, one: Difference) -> None:
        row.number, row.wanted, row.seen, row.severity = self._told.number, one.wanted, one.seen, one.severity
        row.since = row.since or one.since
        row.code, row.evidence = one.code or row.code, one.evidence or row.evidence
        if (treatment := self._told.treated.get(row.key)) is not None:
            row.treatment, row.treated_at = treatment, self._told.at
            row.rounds = max(row.rounds, self._told.rounds)

    def _close(self, row: Drift) -> None:
        at, treatment = self._told.at, self._told.treated.get(row.key)
        death = next((one for one in self._past if row.tells_of(one)), None)
        if death is not None:
            row.past, row.since = True, row.since or death.since
            row.code, row.evidence = row.code or death.code, row.evidence or death.evidence
        if treatment is not None:
            self._end(row, Outcome.REPAIRED, treatment)
        elif row.treated_at is not None and at - row.treated_at <= TAKES_EFFECT:
            self._end(row, Outcome.REPAIRED, row.treatment)
        elif death is not None:
            self._end(row, Outcome.REPAIRED, BY_SUPERVISOR)
        elif row.number != self._told.number:
            self._end(row, Outcome.GONE, f"Revision {self._told.number} serves now.")
        else:
            self._end(row, Outcome.GONE, "It went away by itself.")

    def _end(self, row: Drift, outcome: Outcome, treatment: str) -> None:
        row.closed_at, row.outcome, row.treatment = self._told.at, outcome, treatment
        kind = EventKind.DRIFT_REPAIRED if outcome is Outcome.REPAIRED else EventKind.DRIFT_GONE
        self._tell(row, kind, f"{_capital(row.key)} is as the record says again. {treatment}")

    def _tell(self, row: Drift, kind: EventKind, message: str) -> None:
        sides = (row.wanted, row.seen) if kind is EventKind.DRIFT_FOUND else (row.seen, row.wanted)
        tell(
            self._session,
            self._owner.id,
            kind,
            revision=(self._told.revision_id, self._told.number),
            before=sides[0],
            after=sides[1],
            message=message,
            cause=Cause(code=Code(row.code), message=message) if row.code else None,
            since=row.began,
        )


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


def _stored(one: Difference, told: Account) -> Difference:
    """A difference as it may be stored. Who tells of a past death knows when it was; if not, it was when it
    was noticed."""
    return one.model_copy(
        update={
            "wanted": storable(one.wanted)[:MOST_SEEN],
            "seen": storable(one.seen)[:MOST_SEEN],
            "evidence": storable(one.evidence)[-MOST_EVIDENCE:],
            "since": one.since or (told.notice.at if one.past else None),
        }
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
