"""The account of drift: told twice it is once, nothing that differed is lost, and every end has its reason."""

import asyncio
from dataclasses import astuple
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from records import deployment, drift, event, look
from records.base import now
from records.deployment import Deleted, Deployment
from records.difference import Drift, Outcome
from records.event import Event, EventKind
from records.session import connect, sessions
from tests.rows import PLANE, a_deployment, a_served
from workflows import names
from workflows.accounts import Account, Finder, Notice
from workflows.causes import Code
from workflows.drift import MISSING, RUNNING, Difference, Field, Severity
from workflows.mending import State
from workflows.shapes import Policy, Wish

FOUND, REPAIRED, GONE, STATE = (
    EventKind.DRIFT_FOUND,
    EventKind.DRIFT_REPAIRED,
    EventKind.DRIFT_GONE,
    EventKind.DRIFT_STATE,
)
NOON = now().replace(microsecond=0) - timedelta(minutes=10)
"""When everything here begins."""


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def a_difference(wish: Wish, field: Field = Field.PROCESS, **fields: Any) -> Difference:
    process = names.server(wish.deployment_id, wish.number, 0)
    database = names.database(wish.name, wish.deployment_id)
    values = {
        "field": field,
        "name": process if field is Field.PROCESS else database,
        "wanted": RUNNING if field is Field.PROCESS else "present",
        "seen": MISSING,
        "severity": Severity.DOWN,
    }
    return Difference(**{**values, **fields})


def a_death(wish: Wish, since: datetime | None, **fields: Any) -> Difference:
    return a_difference(
        wish, seen="killed by signal 9", since=since, past=True, code=Code.OUT_OF_MEMORY, **fields
    )


def an_account(wish: Wish, seconds: float, *differences: Difference, **fields: Any) -> Account:
    """What was seen so many seconds after noon, noticed half a second before."""
    state = State.REPAIRING if any(not one.past for one in differences) else State.STEADY
    values: dict[str, Any] = {
        "deployment_id": wish.deployment_id,
        "revision_id": wish.revision_id,
        "number": wish.number,
        "notice": Notice(by=Finder.WATCH, at=at(seconds - 0.5)),
        "at": at(seconds),
        "differences": list(differences),
        "state": state,
    }
    return Account(**{**values, **fields})


async def events(session: AsyncSession, wish: Wish) -> list[Event]:
    every = await event.listed(session, wish.deployment_id)
    return [one for one in every if one.kind.value.startswith("drift.")]


async def kinds(session: AsyncSession, wish: Wish) -> list[EventKind]:
    return [one.kind for one in await events(session, wish)]


async def rows(session: AsyncSession, wish: Wish) -> list[Drift]:
    return list(reversed(await drift.recent(session, wish.deployment_id)))


async def fresh(session: AsyncSession, wish: Wish) -> Deployment:
    return await session.get_one(Deployment, wish.deployment_id, populate_existing=True)


@pytest.fixture
async def wish(session: AsyncSession) -> Wish:
    return (await a_served(session))[1]


async def test_what_differs_is_entered_with_its_evidence(session: AsyncSession, wish: Wish) -> None:
    seen = a_difference(wish, since=at(-3), code=Code.CRASH_LOOP, evidence="Traceback\nValueError")
    await drift.account(session, an_account(wish, 0, seen, why="It is missing."))
    (row,) = await drift.open_of(session, wish.deployment_id)
    assert (row.field, row.name, row.wanted, row.seen) == (seen.field, seen.name, RUNNING, MISSING)
    assert (row.number, row.plane, row.severity, row.code) == (1, "local", Severity.DOWN, Code.CRASH_LOOP)
    assert (row.since, row.noticed_at, row.found_by) == (at(-3), at(-0.5), Finder.WATCH)
    assert row.evidence == "Traceback\nValueError"
    assert (row.closed_at, row.outcome, row.rounds) == (None, None, 0)
    assert row.sentence == f"process {seen.name} is missing"
    found, state = await events(session, wish)
    assert (found.kind, found.before, found.after, found.number) == (FOUND, RUNNING, MISSING, 1)
    assert (found.code, found.message) == (Code.CRASH_LOOP, f"Process {seen.name} is missing.")
    assert found.took_ms == pytest.approx((now() - at(-3)).total_seconds() * 1000, abs=5000)
    assert (state.kind, state.before, state.after) == (STATE, State.STEADY, State.REPAIRING)
    assert state.message == "It is missing."


async def test_told_twice_is_once(session: AsyncSession, wish: Wish) -> None:
    first = an_account(wish, 0, a_difference(wish), a_death(wish, at(-60), name="server-x"))
    last = an_account(wish, 3, treated={a_difference(wish).key: "fit"})
    for told in (first, first, last, last):
        await drift.account(session, told)
    assert len(await rows(session, wish)) == 2
    assert sorted(await kinds(session, wish)) == sorted([FOUND, FOUND, REPAIRED, STATE, REPAIRED, STATE])


async def test_what_was_treated_and_is_gone_was_repaired(session: AsyncSession, wish: Wish) -> None:
    seen = a_difference(wish, since=at(-1))
    await drift.account(session, an_account(wish, 0, seen))
    await drift.account(session, an_account(wish, 4, treated={seen.key: "fit"}))
    (row,) = await rows(session, wish)
    assert (row.outcome, row.closed_at, row.treatment) == (Outcome.REPAIRED, at(4), "fit")
    repaired = (await events(session, wish))[2]
    assert (repaired.kind, repaired.before, repaired.after) == (REPAIRED, MISSING, RUNNING)
    assert repaired.message.endswith("is as the record says again: fit.")
    assert await drift.open_of(session, wish.deployment_id) == []


async def test_a_repair_that_takes_effect_late_is_one(session: AsyncSession, wish: Wish) -> None:
    seen = a_difference(wish)
    await drift.account(session, an_account(wish, 0, seen))
    tried = an_account(
        wish,
        30,
        seen.model_copy(update={"seen": "starting"}),
        treated={seen.key: "fit"},
        rounds=1,
        state=State.BACKING_OFF,
        next_try_at=at(32),
    )
    await drift.account(session, tried)
    (row,) = await rows(session, wish)
    assert (row.seen, row.rounds, row.treatment, row.outcome) == (MISSING, 1, "fit", None)
    assert (await fresh(session, wish)).drift_next_try_at == at(32)
    await drift.account(session, an_account(wish, 33))
    assert (row.outcome, row.treatment, row.closed_at) == (Outcome.REPAIRED, "fit", at(33))
    owner = await fresh(session, wish)
    assert (owner.drift_state, owner.drift_next_try_at, owner.drift_looked_at) == (State.STEADY, None, at(33))


async def test_what_went_away_long_after_was_not_our_doing(session: AsyncSession, wish: Wish) -> None:
    seen = a_difference(wish, Field.DATABASE)
    await drift.account(session, an_account(wish, 0, seen))
    await drift.account(session, an_account(wish, 5, seen, treated={seen.key: "provision"}, rounds=1))
    await drift.account(session, an_account(wish, 5 + 301))
    (row,) = await rows(session, wish)
    assert (row.outcome, row.treatment) == (Outcome.GONE, "it went away by itself")
    assert (await kinds(session, wish))[2] is GONE


async def test_another_revision_ends_what_the_last_one_had(session: AsyncSession, wish: Wish) -> None:
    await drift.account(session, an_account(wish, 0, a_difference(wish)))
    await drift.account(session, an_account(wish, 9, number=2))
    (row,) = await rows(session, wish)
    assert (row.outcome, row.treatment) == (Outcome.GONE, "revision 2 serves now")


async def test_it_comes_back(session: AsyncSession, wish: Wish) -> None:
    seen = a_difference(wish, Field.DATABASE)
    for seconds in (0, 10, 20):
        await drift.account(session, an_account(wish, seconds, seen))
        await drift.account(session, an_account(wish, seconds + 5, treated={seen.key: "provision"}))
    assert [row.outcome for row in await rows(session, wish)] == [Outcome.REPAIRED] * 3


async def test_a_process_that_runs_again_is_told_afterwards(session: AsyncSession, wish: Wish) -> None:
    told = an_account(wish, 0, a_death(wish, at(-2), evidence="Killed"))
    await drift.account(session, told)
    (row,) = await rows(session, wish)
    assert (row.past, row.outcome, row.closed_at) == (True, Outcome.REPAIRED, at(0))
    assert (row.treatment, row.evidence) == (look.BY_SUPERVISOR, "Killed")
    assert row.sentence == f"{row.name} died (killed by signal 9) and runs again"
    assert await kinds(session, wish) == [FOUND, REPAIRED]
    # The plane tells of it as long as it remembers; the moment is known only to the second.
    await drift.account(session, an_account(wish, 30, a_death(wish, at(-2))))
    await drift.account(session, an_account(wish, 31, a_death(wish, at(-1.2))))
    assert len(await rows(session, wish)) == 1
    await drift.account(session, an_account(wish, 60, a_death(wish, at(-2)), a_death(wish, at(40))))
    assert [row.since for row in await rows(session, wish)] == [at(-2), at(40)]


@pytest.mark.parametrize("since", [at(-1), None], ids=["known since", "since when is not known"])
async def test_a_death_seen_while_it_lasted_is_the_same_one(
    session: AsyncSession, wish: Wish, since: datetime | None
) -> None:
    await drift.account(session, an_account(wish, 0, a_difference(wish, since=since)))
    await drift.account(session, an_account(wish, 5, a_death(wish, at(-1), evidence="last words")))
    await drift.account(session, an_account(wish, 9, a_death(wish, at(-1))))
    (row,) = await rows(session, wish)
    assert (row.past, row.since, row.outcome) == (True, at(-1), Outcome.REPAIRED)
    assert (row.treatment, row.code, row.evidence) == (
        look.BY_SUPERVISOR,
        Code.OUT_OF_MEMORY,
        "last words",
    )
    assert await kinds(session, wish) == [FOUND, STATE, REPAIRED, STATE]


async def test_a_death_that_is_told_after_its_repair_gives_it_its_moment(
    session: AsyncSession, wish: Wish
) -> None:
    seen = a_difference(wish)
    await drift.account(session, an_account(wish, 0, seen))
    await drift.account(session, an_account(wish, 2, treated={seen.key: "fit"}))
    await drift.account(session, an_account(wish, 60, a_death(wish, at(-4))))
    (row,) = await rows(session, wish)
    assert (row.since, row.outcome, row.treatment) == (at(-4), Outcome.REPAIRED, "fit")


async def test_what_was_only_seen_coming_back_is_explained_afterwards(
    session: AsyncSession, wish: Wish
) -> None:
    seen = a_difference(wish, seen="starting")
    await drift.account(session, an_account(wish, 0, seen))
    death = a_death(wish, at(-1), evidence="last words")
    await drift.account(session, an_account(wish, 3, death, treated={seen.key: "await"}))
    (row,) = await rows(session, wish)
    assert (row.seen, row.since, row.evidence) == ("killed by signal 9", at(-1), "last words")
    assert (row.outcome, row.treatment, row.code) == (Outcome.REPAIRED, "await", Code.OUT_OF_MEMORY)


async def test_a_death_on_record_explains_nothing_that_came_later(session: AsyncSession, wish: Wish) -> None:
    death = a_death(wish, at(0))
    await drift.account(session, an_account(wish, 1, death))
    await drift.account(session, an_account(wish, 20, death, a_difference(wish, seen="suspended")))
    await drift.account(session, an_account(wish, 21, death, treated={"process " + death.name: "wake"}))
    died, suspended = await rows(session, wish)
    assert (died.past, died.since) == (True, at(0))
    assert (suspended.past, suspended.since, suspended.treatment) == (False, None, "wake")
    assert suspended.outcome is Outcome.REPAIRED


async def test_a_death_is_on_record_once_though_what_lasts_began_with_it(
    session: AsyncSession, wish: Wish
) -> None:
    death = a_death(wish, at(0))
    await drift.account(session, an_account(wish, 0.2, death, a_difference(wish, seen="silent")))
    await drift.account(session, an_account(wish, 1, a_difference(wish, seen="starting", since=at(0))))
    await drift.account(session, an_account(wish, 2, death))
    await drift.account(session, an_account(wish, 3, death))
    lasted, died = await rows(session, wish)
    assert (lasted.past, lasted.since, lasted.closed_at) == (False, at(0), at(2))
    assert (died.past, died.since) == (True, at(0))


async def test_a_loop_of_crashes_is_one_difference_and_its_deaths(session: AsyncSession, wish: Wish) -> None:
    await drift.account(session, an_account(wish, 0, a_difference(wish, seen="backoff", since=at(-1))))
    deaths = [a_death(wish, at(2 * many - 1)) for many in range(4)]
    await drift.account(session, an_account(wish, 9, a_difference(wish, seen="backoff"), *deaths))
    (row,) = await drift.open_of(session, wish.deployment_id)
    assert (row.past, row.since, row.sentence) == (False, at(-1), f"process {row.name} is backoff")
    assert [other.since for other in await rows(session, wish)] == [at(-1), at(1), at(3), at(5)]


async def test_only_a_change_of_state_is_an_event(session: AsyncSession, wish: Wish) -> None:
    seen = a_difference(wish)
    for seconds, state, why in (
        (0, State.REPAIRING, "one"),
        (1, State.BACKING_OFF, "two"),
        (2, State.BACKING_OFF, "three"),
        (3, State.GIVEN_UP, "four"),
    ):
        await drift.account(session, an_account(wish, seconds, seen, state=state, why=why))
        assert (await fresh(session, wish)).drift_why == why
    changes = [one for one in await events(session, wish) if one.kind is STATE]
    assert [one.after for one in changes] == ["repairing", "backing off", "given up"]
    assert [one.message for one in changes] == ["one", "two", "four"]
    assert changes[0].took_ms is None
    assert changes[2].took_ms is not None
    assert (await fresh(session, wish)).drift_since is not None


UNSEEN: list[tuple[str, Field, list[Field] | None, bool, bool]] = [
    ("its database could be looked at", Field.PASSWORD, [Field.DATABASE, Field.PASSWORD], False, False),
    ("its database was away", Field.PASSWORD, [Field.PROCESS], False, True),
    ("its database is missing", Field.PASSWORD, None, True, True),
    ("servers could not be listed", Field.EXTRA, [Field.DATABASE], False, True),
    ("servers could be listed", Field.EXTRA, [Field.PROCESS], False, False),
]


@pytest.mark.parametrize(
    ("field", "looked", "missing", "stays"), [case[1:] for case in UNSEEN], ids=[case[0] for case in UNSEEN]
)
async def test_what_could_not_be_seen_stays_as_it_was(
    session: AsyncSession, wish: Wish, field: Field, looked: list[Field] | None, missing: bool, stays: bool
) -> None:
    await drift.account(session, an_account(wish, 0, a_difference(wish, field)))
    left = [a_difference(wish, Field.DATABASE)] if missing else []
    await drift.account(session, an_account(wish, 5, *left, looked=looked))
    still = [row.field for row in await drift.open_of(session, wish.deployment_id)]
    assert (field in still) is stays
    await drift.account(session, an_account(wish, 9, looked=[], number=2))
    assert await drift.open_of(session, wish.deployment_id) == []


@pytest.mark.parametrize(("field", "closes"), [(Field.WORK, True), (Field.PASSWORD, False)])
async def test_what_was_treated_and_cannot_be_seen_yet(
    session: AsyncSession, wish: Wish, field: Field, closes: bool
) -> None:
    """A queue shows that it moves only after a while, and a process that was started anew has not stood still."""
    seen = a_difference(wish, field)
    await drift.account(session, an_account(wish, 0, seen))
    last = an_account(wish, 9, treated={seen.key: "restart"}, looked=[Field.PROCESS])
    await drift.account(session, last)
    (row,) = await rows(session, wish)
    assert (row.closed_at, row.treatment) == (at(9) if closes else None, "restart")
    await drift.account(session, an_account(wish, 70))
    assert (row.outcome, row.treatment) == (Outcome.REPAIRED, "restart")


async def test_one_that_crashes_all_the_time_keeps_its_newest(
    session: AsyncSession, wish: Wish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drift, "MOST_KEPT", 4)
    monkeypatch.setattr(drift, "TRIM_EVERY", 1)
    await drift.account(session, an_account(wish, 0, a_difference(wish)))
    for seconds in range(1, 9):
        told = (a_difference(wish), a_death(wish, at(2 * seconds), name="server-x"))
        await drift.account(session, an_account(wish, 2 * seconds, *told))
    kept = await rows(session, wish)
    assert [row.since for row in kept] == [None, at(10), at(12), at(14), at(16)]


async def test_old_drift_goes(session: AsyncSession, wish: Wish) -> None:
    await drift.account(session, an_account(wish, 0, a_difference(wish), a_death(wish, at(-60))))
    await drift.account(session, an_account(wish, 1, a_difference(wish)))
    assert await drift.forget(session, "other", at(9)) == 0
    assert await drift.forget(session, PLANE, at(0)) == 0
    assert await drift.forget(session, PLANE, at(9)) == 1
    assert [row.closed_at for row in await rows(session, wish)] == [None]


async def test_an_older_look_says_nothing(session: AsyncSession, wish: Wish) -> None:
    await drift.account(session, an_account(wish, 10))
    await drift.account(session, an_account(wish, 9, a_difference(wish)))
    assert await rows(session, wish) == []
    assert (await fresh(session, wish)).drift_state is State.STEADY


async def test_a_clock_that_was_set_back_silences_nobody(session: AsyncSession, wish: Wish) -> None:
    await drift.account(session, an_account(wish, 86_400))
    await drift.account(session, an_account(wish, 0, a_difference(wish)))
    assert len(await drift.open_of(session, wish.deployment_id)) == 1
    assert (await fresh(session, wish)).drift_looked_at == at(0)


async def test_nobody_looks_while_paused(session: AsyncSession, wish: Wish) -> None:
    await drift.account(session, an_account(wish, 0, a_difference(wish)))
    await drift.account(session, an_account(wish, 5, state=State.PAUSED))
    assert len(await drift.open_of(session, wish.deployment_id)) == 1
    owner = await fresh(session, wish)
    assert (owner.drift_state, owner.drift_looked_at) == (State.PAUSED, at(0))


async def test_what_is_being_deleted_does_not_drift(session: AsyncSession, wish: Wish) -> None:
    await deployment.mark_deleted(session, wish.deployment_id)
    await drift.account(session, an_account(wish, 0, a_difference(wish)))
    assert await rows(session, wish) == []
    await drift.account(session, an_account(wish, 0, deployment_id=wish.revision_id))


async def test_evidence_keeps_its_end(session: AsyncSession, wish: Wish) -> None:
    lines = "x" * 50_000 + "\0\ud800 the reason"
    await drift.account(session, an_account(wish, 0, a_difference(wish, evidence=lines, seen="s" * 9000)))
    (row,) = await rows(session, wish)
    assert len(row.evidence) == look.MOST_EVIDENCE
    assert row.evidence.endswith("the reason")
    assert len(row.seen) == look.MOST_SEEN


async def test_newest_first_in_pages(session: AsyncSession, wish: Wish) -> None:
    for seconds in range(5):
        seen = a_difference(wish, name=f"server-{seconds}")
        await drift.account(session, an_account(wish, seconds, seen))
    page = await drift.recent(session, wish.deployment_id, 2, 1)
    assert [row.name for row in page] == ["server-3", "server-2"]


def rounded(score: drift.Score) -> tuple[float | None, ...]:
    return tuple(None if part is None else round(part, 3) for part in astuple(score))


async def test_the_score(session: AsyncSession) -> None:
    owner, wish = await a_served(session, plane="scored")
    for index, (began, noticed, closed) in enumerate([(0, 1, 3), (10, 12, 20), (30, 33, 60)]):
        seen = a_difference(wish, name=f"server-{index}", since=at(began))
        notice = Notice(by=Finder.WATCH, at=at(noticed))
        await drift.account(session, an_account(wish, noticed, seen, notice=notice))
        await drift.account(session, an_account(wish, closed, treated={seen.key: "fit"}))
    await drift.account(session, an_account(wish, 70, a_difference(wish)))
    await drift.account(session, an_account(wish, 71))
    await drift.account(session, an_account(wish, 72, a_difference(wish, Field.DATABASE)))
    other = (await a_served(session, plane="elsewhere"))[1]
    await drift.account(session, an_account(other, 0, a_difference(other)))
    expected = (5, 3, 1, 1, 2.0, 2.9, 10.0, 28.0)
    begin = now() - timedelta(hours=1)
    assert rounded(await drift.score(session, begin, plane="scored")) == expected
    assert rounded(await drift.score(session, begin, deployment_id=owner.id)) == expected
    assert rounded(await drift.score(session, begin, workspace_id=owner.workspace_id)) == expected
    assert (await drift.score(session, begin)).found >= 6
    late = await drift.score(session, now() + timedelta(hours=1), plane="scored")
    assert late == drift.Score(0, 0, 0, 1, None, None, None, None)
    assert await drift.score(session, begin, plane="nowhere") == drift.Score(0, 0, 0, 0, *[None] * 4)
    counted = await drift.counts(session)
    assert counted["scored", Field.DATABASE, Severity.DOWN] == 1
    assert counted["elsewhere", Field.PROCESS, Severity.DOWN] == 1
    assert ("scored", Field.PROCESS, Severity.DOWN) not in counted


async def test_a_policy_is_a_change_on_record(session: AsyncSession, wish: Wish) -> None:
    before = await fresh(session, wish)
    assert (before.policy, before.drift_state) == (Policy.REPAIR, State.STEADY)
    await drift.set_policy(session, wish.deployment_id, Policy.REPORT)
    await drift.set_policy(session, wish.deployment_id, Policy.REPORT)
    assert (await fresh(session, wish)).policy is Policy.REPORT
    changes = [one.message for one in await event.listed(session, wish.deployment_id)]
    assert changes.count("Drift policy: report.") == 1
    assert await drift.set_policy(session, wish.revision_id, Policy.REPORT) is None


@pytest.mark.parametrize(("differs", "after"), [(False, State.STEADY), (True, State.REPORTED)])
async def test_pausing_shows_at_once(session: AsyncSession, wish: Wish, differs: bool, after: State) -> None:
    if differs:
        await drift.account(session, an_account(wish, 0, a_difference(wish), next_try_at=at(900)))
    await drift.set_policy(session, wish.deployment_id, Policy.PAUSED)
    owner = await fresh(session, wish)
    assert (owner.drift_state, owner.drift_next_try_at) == (State.PAUSED, None)
    await drift.set_policy(session, wish.deployment_id, Policy.REPAIR)
    assert (await fresh(session, wish)).drift_state is after


async def test_what_is_being_deleted_takes_no_policy(session: AsyncSession) -> None:
    owner = await a_deployment(session)
    await deployment.mark_deleted(session, owner.id)
    with pytest.raises(Deleted):
        await drift.set_policy(session, owner.id, Policy.PAUSED)


async def test_a_removal_takes_its_drift_along(session: AsyncSession, wish: Wish) -> None:
    await drift.account(session, an_account(wish, 0, a_difference(wish)))
    await deployment.mark_deleted(session, wish.deployment_id)
    assert await deployment.forget(session, wish.deployment_id)
    assert await rows(session, wish) == []


async def test_a_ghost_and_its_successor_tell_at_once(database: str) -> None:
    engine = connect(database)
    made = sessions(engine)
    async with made.begin() as session:
        wish = (await a_served(session))[1]
    told = an_account(wish, 0, a_difference(wish), a_death(wish, at(-5), name="server-x"))

    async def tell() -> None:
        async with made.begin() as session:
            await drift.account(session, told)

    await asyncio.gather(*(tell() for _ in range(6)))
    async with made() as session:
        assert len(await rows(session, wish)) == 2
        assert sorted(await kinds(session, wish)) == sorted([FOUND, FOUND, REPAIRED, STATE])
    await engine.dispose()
