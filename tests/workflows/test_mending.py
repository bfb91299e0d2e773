"""What is done about differences, and when no more."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflows.drift import MISSING, RUNNING, STARTING, SUSPENDED, Difference, Field, Severity
from workflows.mending import (
    HOLDS,
    LONGEST_PAUSE,
    MOST_ROUNDS,
    ORDER,
    REMEDIES,
    Remedy,
    State,
    after_repair,
    course,
    due_at,
    pause_after,
    remembered,
    treatments,
)
from workflows.shapes import Policy
from workflows.trials import Mending, Trial

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SERVER, OTHER, DATABASE, SLUG, IMAGE = "server-1-1-0", "server-1-1-1", "gy_agent_1", "agent-1", "sha256:1"


def differs(field: Field, name: str = SERVER, seen: str = "ill", past: bool = False) -> Difference:
    return Difference(
        field=field, name=name, wanted=RUNNING, seen=seen, severity=Severity.DOWN, past=past, since=NOW
    )


def tried(
    rounds: int, *differences: Difference, at: datetime = NOW, gone_at: datetime | None = None
) -> Mending:
    return Mending(
        number=1, trials={one.key: Trial(rounds=rounds, at=at, gone_at=gone_at) for one in differences}
    )


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


# differences, rounds -> treatments
TREATED: dict[str, tuple[list[Difference], int, list[tuple[str, list[str]]]]] = {
    "a server is gone": ([differs(Field.PROCESS)], 0, [("fit", [SERVER])]),
    "two are": (
        [differs(Field.PROCESS), differs(Field.PROCESS, OTHER)],
        0,
        [("fit", [SERVER, OTHER])],
    ),
    "one starts": ([differs(Field.PROCESS, seen=STARTING)], 0, [("await", [SERVER])]),
    "one was stopped": ([differs(Field.PROCESS, seen=SUSPENDED)], 0, [("wake", [SERVER])]),
    "Valkey was stopped": ([differs(Field.REDIS, "redis-1", SUSPENDED)], 0, [("wake", ["redis-1"])]),
    "one does not answer": ([differs(Field.ANSWER)], 0, [("restart", [SERVER])]),
    "one hangs, or is busy": ([differs(Field.ANSWER, seen="silent for 2 s")], 0, [("await", [SERVER])]),
    "one hangs for good": ([differs(Field.ANSWER, seen="silent for 2 s")], 1, [("restart", [SERVER])]),
    "one runs nothing": ([differs(Field.WORK)], 0, [("restart", [SERVER])]),
    "one does not answer, as its role is gone": (
        [differs(Field.ANSWER), differs(Field.ROLE, DATABASE)],
        0,
        [("provision", [DATABASE]), ("await", [SERVER])],
    ),
    "it still does not": (
        [differs(Field.ANSWER), differs(Field.ROLE, DATABASE)],
        1,
        [
            ("provision", [DATABASE]),
            ("restart", [SERVER]),
        ],
    ),
    "other variables": ([differs(Field.ENVIRONMENT)], 0, [("fit", [SERVER])]),
    "a database is gone": (
        [differs(Field.DATABASE, DATABASE)],
        0,
        [("provision", [DATABASE]), ("restart", [])],
    ),
    "a role is gone, and pools hold sessions of it": (
        [differs(Field.ROLE, DATABASE, MISSING), differs(Field.ANSWER)],
        0,
        [("provision", [DATABASE]), ("restart", []), ("await", [SERVER])],
    ),
    "a database and a server are gone": (
        [differs(Field.DATABASE, DATABASE), differs(Field.PROCESS)],
        0,
        [("provision", [DATABASE]), ("restart", []), ("fit", [SERVER])],
    ),
    "a role is gone": (
        [differs(Field.ROLE, DATABASE, MISSING)],
        0,
        [("provision", [DATABASE]), ("restart", [])],
    ),
    "grants are gone": ([differs(Field.GRANTS, DATABASE)], 0, [("provision", [DATABASE])]),
    "grants go again and again": ([differs(Field.GRANTS, DATABASE)], 5, [("provision", [DATABASE])]),
    "the image is damaged": ([differs(Field.BUNDLE, IMAGE)], 0, [("rebuild", [IMAGE]), ("restart", [])]),
    "the door is closed": ([differs(Field.ROUTE, SLUG)], 0, [("relink", [SLUG])]),
    "the door leads astray": ([differs(Field.LINK, SLUG)], 0, [("relink", [SLUG])]),
    "one too many": ([differs(Field.EXTRA)], 0, [("end", [SERVER])]),
    "a server fails once more": ([differs(Field.PROCESS)], 1, [("fit", [SERVER])]),
    "a server fails and fails": ([differs(Field.PROCESS)], 2, [("provision", []), ("restart", [SERVER])]),
    "one starts and starts": (
        [differs(Field.PROCESS, seen=STARTING)],
        2,
        [("provision", []), ("restart", [SERVER])],
    ),
    "everything is gone": (
        [
            differs(Field.LINK, SLUG),
            differs(Field.PROCESS),
            differs(Field.REDIS, "redis-1"),
            differs(Field.EXTRA, OTHER),
        ],
        0,
        [("provision", ["redis-1"]), ("fit", [SERVER]), ("relink", [SLUG]), ("end", [OTHER])],
    ),
}


@pytest.mark.parametrize("case", TREATED)
def test_the_smallest_treatment_in_its_order(case: str) -> None:
    found, rounds, expected = TREATED[case]
    todo = treatments(found, {one.key: rounds for one in found})
    assert [(one.remedy.value, one.targets) for one in todo] == expected


# present, policy, memory, now -> state, whether something is treated
COURSES: dict[str, tuple[Sequence[Difference], Policy, Mending, datetime, State, bool]] = {
    "all is well": ([], Policy.REPAIR, Mending(), NOW, State.STEADY, False),
    "only a death that is over": (
        [differs(Field.PROCESS, past=True)],
        Policy.REPAIR,
        Mending(),
        NOW,
        State.STEADY,
        False,
    ),
    "something differs": ([differs(Field.ROLE)], Policy.REPAIR, Mending(), NOW, State.REPAIRING, True),
    "only to be told": ([differs(Field.ROLE)], Policy.REPORT, Mending(), NOW, State.REPORTED, False),
    "not to be looked at": ([], Policy.PAUSED, Mending(), NOW, State.PAUSED, False),
    "it did not hold": (
        [differs(Field.ROLE)],
        Policy.REPAIR,
        tried(1, differs(Field.ROLE)),
        at(1),
        State.BACKING_OFF,
        False,
    ),
    "its time has come": (
        [differs(Field.ROLE)],
        Policy.REPAIR,
        tried(1, differs(Field.ROLE)),
        at(2),
        State.REPAIRING,
        True,
    ),
    "something new beside what waits": (
        [differs(Field.ROLE), differs(Field.ROUTE)],
        Policy.REPAIR,
        tried(3, differs(Field.ROLE)),
        at(1),
        State.REPAIRING,
        True,
    ),
    "given up": (
        [differs(Field.ROLE)],
        Policy.REPAIR,
        tried(MOST_ROUNDS, differs(Field.ROLE)),
        at(10_000),
        State.GIVEN_UP,
        False,
    ),
    "given up, and something new": (
        [differs(Field.ROLE), differs(Field.ROUTE)],
        Policy.REPAIR,
        tried(MOST_ROUNDS, differs(Field.ROLE)),
        at(1),
        State.REPAIRING,
        True,
    ),
}


@pytest.mark.parametrize("case", COURSES)
def test_the_course(case: str) -> None:
    found, policy, memory, now, state, treats = COURSES[case]
    todo = course(found, memory, policy, now)
    assert (todo.state, bool(todo.treatments)) == (state, treats)
    assert (todo.until is not None) is (state is State.BACKING_OFF)
    assert todo.why.endswith(".")


def test_what_waits_is_not_treated_with_what_is_new() -> None:
    waits, new = differs(Field.ROLE, DATABASE), differs(Field.ROUTE, SLUG)
    todo = course([waits, new], tried(3, waits), Policy.REPAIR, at(1))
    assert [one.remedy for one in todo.treatments] == [Remedy.RELINK]
    assert list(todo.treated) == [new.key]


def test_the_pauses() -> None:
    assert [pause_after(rounds).total_seconds() for rounds in range(8)] == [0, 2, 6, 18, 54, 162, 300, 300]


def test_every_repair_counts_until_it_has_held() -> None:
    one = differs(Field.ROLE)
    memory = after_repair(Mending(number=1), [one], [one.key], NOW)
    assert memory.trials[one.key] == Trial(rounds=1, at=NOW)
    memory = after_repair(memory, [], [one.key], at(2))
    assert memory.trials[one.key] == Trial(rounds=2, at=at(2), gone_at=at(2))
    assert not memory.open
    soon, late = at(2) + HOLDS, at(3) + HOLDS
    assert remembered(memory, [one], 1, soon).trials[one.key] == Trial(rounds=2, at=at(2))
    assert remembered(memory, [one], 1, late).trials == {}


def test_a_difference_that_stayed_is_not_forgotten_by_waiting() -> None:
    one = differs(Field.ROLE)
    memory = tried(4, one)
    assert remembered(memory, [one], 1, at(10_000)) == memory.model_copy(update={"open": True})


def test_after_a_long_pause_a_repair_has_to_hold_longer() -> None:
    one = differs(Field.ROLE)
    memory = tried(6, one, gone_at=NOW)
    assert one.key in remembered(memory, [one], 1, at(160)).trials
    assert one.key not in remembered(memory, [one], 1, at(163)).trials


def test_what_was_given_up_stays_so_until_it_is_gone() -> None:
    one, other = differs(Field.ROLE), differs(Field.ROUTE)
    memory = tried(MOST_ROUNDS, one)
    assert one.key in remembered(memory, [one, other], 1, at(10_000)).trials
    gone = remembered(memory, [other], 1, at(10_000))
    assert course([one], remembered(gone, [one], 1, at(10_001)), Policy.REPAIR, at(10_001)).state is (
        State.GIVEN_UP
    )
    assert one.key not in remembered(gone, [one], 1, at(10_001) + HOLDS).trials


def test_what_flaps_is_not_taken_for_held() -> None:
    one = differs(Field.ROLE)
    memory = remembered(tried(5, one), [], 1, at(100))
    assert remembered(memory, [one], 1, at(101)).trials[one.key].rounds == 5


def test_another_revision_clears_the_memory() -> None:
    one = differs(Field.ROLE)
    assert remembered(tried(MOST_ROUNDS, one), [one], 2, at(1)) == Mending(number=2, open=True)


def test_a_failure_nobody_understands_is_never_given_up() -> None:
    one, memory = differs(Field.ROLE), Mending(number=1)
    for _ in range(20):
        memory = after_repair(memory, [one], [one.key], NOW, told=False)
    assert memory.trials[one.key].rounds == MOST_ROUNDS - 1
    assert course([one], memory, Policy.REPAIR, NOW + LONGEST_PAUSE).state is State.REPAIRING


def test_every_field_has_its_remedy_and_every_remedy_its_place() -> None:
    assert set(REMEDIES) == set(Field)
    assert sorted(ORDER) == sorted(Remedy)


anything = st.builds(
    differs,
    st.sampled_from(Field),
    st.sampled_from([SERVER, OTHER, DATABASE, SLUG, IMAGE]),
    st.sampled_from(["missing", STARTING, SUSPENDED, "ill"]),
    st.booleans(),
)
some = st.lists(anything, max_size=8, unique_by=lambda one: one.key)
moments = st.integers(0, 2000).map(at)


@st.composite
def memories(draw: st.DrawFn, found: Sequence[Difference]) -> Mending:
    trials = {
        one.key: Trial(
            rounds=draw(st.integers(0, MOST_ROUNDS)), at=draw(moments), gone_at=draw(st.none() | moments)
        )
        for one in found
        if draw(st.booleans())
    }
    return Mending(number=1, trials=trials)


@given(st.data(), some, moments)
def test_what_differs_is_treated_or_waited_for_or_given_up(
    data: st.DataObject, found: list[Difference], now: datetime
) -> None:
    memory = data.draw(memories(found))
    todo = course(found, memory, Policy.REPAIR, now)
    present = [one for one in found if not one.past]
    rounds = {one.key: memory.trials[one.key].rounds if one.key in memory.trials else 0 for one in present}
    due = {
        one.key for one in present if rounds[one.key] < MOST_ROUNDS and due_at(memory, one.key, now) <= now
    }
    assert set(todo.treated) == due
    assert bool(todo.treatments) is bool(due)
    if todo.until is not None:
        assert todo.until > now
        assert todo.until - now <= LONGEST_PAUSE + timedelta(seconds=2000)
    if not due and any(count < MOST_ROUNDS for count in rounds.values()):
        assert todo.state is State.BACKING_OFF


@given(some.filter(bool), st.integers(0, MOST_ROUNDS))
def test_treatments_answer_every_difference(found: list[Difference], rounds: int) -> None:
    todo = treatments(found, {one.key: rounds for one in found})
    places = [ORDER.index(one.remedy) for one in todo]
    assert places == sorted(set(places))
    for one in found:
        for_it = {
            treatment.remedy for treatment in todo if one.name in treatment.targets or not treatment.targets
        }
        assert for_it, one
        assert REMEDIES[one.field] in for_it or for_it & {Remedy.WAKE, Remedy.AWAIT, Remedy.RESTART}


@given(st.data(), some, moments)
def test_remembering_twice_is_remembering_once(
    data: st.DataObject, found: list[Difference], now: datetime
) -> None:
    memory = data.draw(memories(found))
    once = remembered(memory, found, 1, now)
    assert remembered(once, found, 1, now) == once
    assert set(once.trials) <= set(memory.trials)


@given(some)
def test_repairs_that_never_hold_end(found: list[Difference]) -> None:
    memory, now, repairs = Mending(number=1), NOW, 0
    while True:
        memory = remembered(memory, found, 1, now)
        todo = course(found, memory, Policy.REPAIR, now)
        if todo.treatments:
            repairs += 1
            memory = after_repair(memory, found, list(todo.treated), now)
        elif todo.until is not None:
            now = todo.until
        else:
            break
    assert repairs == (MOST_ROUNDS if any(not one.past for one in found) else 0)
    assert now - NOW <= timedelta(minutes=10)
