"""One look at a deployment on its way into the rows of drift: what it opens, what it keeps, what it closes."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from records.base import now, storable
from records.deployment import Deployment
from records.difference import SAME_DEATH, Drift, Outcome
from records.event import EventKind, tell
from workflows.accounts import Account
from workflows.causes import Cause, Code
from workflows.drift import PRIMARY, STARTING, Difference, Field, sentence

MOST_EVIDENCE = 8_000
"""Characters kept of a dead process's last lines: the last ones, where the reason is."""
MOST_SEEN = 500
TAKES_EFFECT = timedelta(minutes=5)
"""What goes away so soon after it was treated went because of that."""
OF_ONE_LIFE = frozenset({Field.ANSWER, Field.WORK})
"""What a process that was started anew cannot have from before."""
BY_SUPERVISOR = "its supervisor started it again"


class Look:
    """One account on its way into the rows of a locked deployment."""

    def __init__(self, session: AsyncSession, owner: Deployment, told: Account) -> None:
        self._session = session
        self._owner = owner
        self._told = told
        self._opened: list[Drift] = []
        known = [_stored(one, told) for one in told.differences]
        self._past = [one for one in known if one.past]
        self._on_record: list[Difference] = []
        """Past deaths that a row which is closed tells of: they explain nothing that is open."""
        self._present = {one.key: one for one in known if not one.past}

    async def enter(self, open_rows: Sequence[Drift]) -> list[Drift]:
        """Bring these rows, all that were open, to what was seen; the new ones."""
        rows = {row.key: row for row in open_rows}
        self._on_record = [
            one
            for one in self._past
            if any(row.closed_at is not None and row.tells_of(one) for row in await self._alike(one))
        ]
        for key, row in rows.items():
            if (treatment := self._told.treated.get(key)) is not None:
                row.treatment, row.treated_at = treatment, self._told.at
                row.rounds = max(row.rounds, self._told.rounds)
            if key in self._present:
                self._update(row, self._present[key])
            elif self._was_seen(row):
                self._close(row)
        for key, one in self._present.items():
            if key not in rows:
                self._open(one)
        # After the rows that were open: a death that was noticed while it lasted is on record already.
        for one in self._past:
            known = [row for row in await self._alike(one) if row.tells_of(one)]
            if not known:
                self._end(self._open(one), Outcome.REPAIRED, BY_SUPERVISOR)
            elif known[0].closed_at is not None and not any(row.past for row in known):
                _learn(known[0], one)
        await self._session.flush()
        return self._opened

    def _was_seen(self, row: Drift) -> bool:
        """Whether what is not told of is as it should be: nobody could see it while its database was away, or
        on a process that is missing."""
        looked = self._told.looked
        if row.number != self._told.number:
            return True
        if row.field not in PRIMARY and any(
            one.name == row.name and one.field in PRIMARY for one in self._present.values()
        ):
            return False
        thing = Field.PROCESS if row.field is Field.EXTRA else row.field
        if looked is None or thing in looked:
            return True
        # Nobody may be able to tell yet how it does; but it is not the process it was.
        return row.field in OF_ONE_LIFE and row.treated_at is not None and Field.PROCESS in looked

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
        self._opened.append(row)
        self._tell(row, EventKind.DRIFT_FOUND, f"{_capital(sentence(one))}.")
        return row

    def _update(self, row: Drift, one: Difference) -> None:
        row.number, row.wanted, row.severity = self._told.number, one.wanted, one.severity
        # One that is on its way back does not make up for what had become of it.
        row.seen = row.seen if one.seen == STARTING else one.seen
        row.since = row.since or one.since
        row.code, row.evidence = one.code or row.code, one.evidence or row.evidence

    def _close(self, row: Drift) -> None:
        at = self._told.at
        fresh = [one for one in self._past if one not in self._on_record]
        death = next((one for one in fresh if row.tells_of(one, over=at)), None)
        if death is not None:
            _learn(row, death)
        if row.treated_at is not None and at - row.treated_at <= TAKES_EFFECT:
            self._end(row, Outcome.REPAIRED, row.treatment)
        elif death is not None:
            self._end(row, Outcome.REPAIRED, BY_SUPERVISOR)
        elif row.number != self._told.number:
            self._end(row, Outcome.GONE, f"revision {self._told.number} serves now")
        else:
            self._end(row, Outcome.GONE, "it went away by itself")

    def _end(self, row: Drift, outcome: Outcome, treatment: str) -> None:
        row.closed_at, row.outcome, row.treatment = self._told.at, outcome, treatment
        kind = EventKind.DRIFT_REPAIRED if outcome is Outcome.REPAIRED else EventKind.DRIFT_GONE
        self._tell(row, kind, f"{_capital(row.key)} is as the record says again: {treatment}.")

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


def _learn(row: Drift, death: Difference) -> None:
    """What only shows once it is over: when a process died, and of what."""
    row.past, row.since = True, row.since or death.since
    row.seen = death.seen if row.seen == STARTING else row.seen
    row.code, row.evidence = row.code or death.code, row.evidence or death.evidence


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
