"""From differences to the smallest thing that may help, and when to stop trying: pure.

A repair that does not hold is tried again with growing pauses and growing force; after that it is left alone
and said so, because what comes back every time is somebody's will, or beyond repair. Trying begins anew once
the record wants something else or the plane shows something else.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from pydantic import BaseModel

from workflows.drift import MISSING, SILENT, STARTING, SUSPENDED, Difference, Field, sentence
from workflows.shapes import Policy, Wish
from workflows.trials import Mending, Trial

FIRST_PAUSE = timedelta(seconds=2)
GROWTH = 3
LONGEST_PAUSE = timedelta(minutes=5)
MOST_ROUNDS = 7
"""Repairs of one difference that did not hold; with the pauses between them some ten minutes."""
FORCE_FROM = 2
"""From so many rounds on, a replica that is ill is ended and begun again, over databases stated anew: short of
a rollout, there is nothing more."""
HOLDS = timedelta(seconds=30)
"""A repair has held if what it treated stays away so long, and longer than the pause before it; what comes
after is new."""


class Remedy(StrEnum):
    """What a plane can do for one deployment without a new revision, smallest first."""

    AWAIT = "await"
    """Only watch it come back, without a pause: whoever supervises is at it already."""
    RELINK = "relink"
    """Lead the gateway to this revision and let it take runs, unless a newer one serves."""
    WAKE = "wake"
    """Continue a process that somebody stopped."""
    PROVISION = "provision"
    """State again all that databases, roles, passwords, grants and Valkey should be."""
    END = "end"
    """End servers that no revision asks for."""
    FIT = "fit"
    """Have the replicas described as wished and running; one that is so already is left alone."""
    REBUILD = "rebuild"
    """Make the image again under its old digest."""
    RESTART = "restart"
    """End a replica, keeping its last words, and start it again."""


class Treatment(BaseModel):
    """One remedy for the named things; no names means all of the deployment's."""

    remedy: Remedy
    targets: list[str] = []


class Repair(BaseModel):
    """What one plane is to do for one deployment, in this order."""

    wish: Wish
    treatments: list[Treatment]


class State(StrEnum):
    """How a deployment stands to its record."""

    STEADY = "steady"
    REPAIRING = "repairing"
    BACKING_OFF = "backing off"
    GIVEN_UP = "given up"
    REPORTED = "reported"
    """It differs, and the policy is only to say so."""
    PAUSED = "paused"


class Course(NamedTuple):
    """What to do about differences: treat some now, some after `until`, or none."""

    state: State
    why: str
    treatments: list[Treatment] = []  # noqa: RUF012 - a tuple's default, which nobody changes
    treated: Mapping[str, str] = {}
    """By difference: what the treatments do about it."""
    until: datetime | None = None


def course(differences: Sequence[Difference], mending: Mending, policy: Policy, at: datetime) -> Course:
    """What to do about what differs at this moment. Past differences are only told; each other has its own
    pause, so that what is new is treated at once beside what does not hold."""
    present = [one for one in differences if not one.past]
    if policy is Policy.PAUSED:
        return Course(State.PAUSED, "Nobody looks: drift is paused.")
    if not present:
        return Course(State.STEADY, "All is as the record says.")
    why = "; ".join(sentence(one) for one in present[:3])
    if policy is Policy.REPORT:
        return Course(State.REPORTED, f"{why}. Only reported, as its policy says.")
    rounds = {one.key: _rounds(mending, one.key) for one in present}
    fought = [one for one in present if rounds[one.key] < MOST_ROUNDS]
    if not fought:
        lost = f"{MOST_ROUNDS} repairs did not hold; left alone until its record or the plane changes."
        return Course(State.GIVEN_UP, f"{why}. {lost}")
    due = [one for one in fought if due_at(mending, one.key, at) <= at]
    if due:
        return Course(State.REPAIRING, f"{why}.", treatments(due, rounds), _treated(due, rounds))
    tried = max(rounds[one.key] for one in fought)
    lost = f"{tried} repair{'' if tried == 1 else 's'} did not hold; trying again after a pause."
    return Course(
        State.BACKING_OFF, f"{why}. {lost}", until=min(due_at(mending, one.key, at) for one in fought)
    )


def due_at(mending: Mending, key: str, at: datetime) -> datetime:
    """When a difference may be treated: what was never treated at once, and nothing shortens a pause."""
    trial = mending.trials.get(key)
    return at if trial is None else trial.at + pause_after(trial.rounds)


def pause_after(rounds: int) -> timedelta:
    """The pause that follows the so-manieth repair that did not hold."""
    return min(FIRST_PAUSE * GROWTH ** (rounds - 1), LONGEST_PAUSE) if rounds else timedelta(0)


def treatments(differences: Sequence[Difference], rounds: Mapping[str, int]) -> list[Treatment]:
    """The smallest set that answers every difference, in the order in which it is to be done. `rounds` says
    how often each was treated in vain."""
    targets: dict[Remedy, set[str]] = {}
    everything: set[Remedy] = set()
    for one in differences:
        for remedy, target in _answers(one, rounds.get(one.key, 0), differences):
            targets.setdefault(remedy, set())
            if target is None:
                everything.add(remedy)
            else:
                targets[remedy].add(target)
    return [
        Treatment(remedy=remedy, targets=[] if remedy in everything else sorted(targets[remedy]))
        for remedy in ORDER
        if remedy in targets
    ]


def after_repair(
    mending: Mending, left: Sequence[Difference], treated: Sequence[str], at: datetime, *, told: bool = True
) -> Mending:
    """What to remember of a repair that has just been made: it counts against what it treated until it has
    held for a while. One that failed for a reason nobody could tell is tried for ever: not `told`."""
    still = {one.key for one in left if not one.past}
    trials = dict(mending.trials)
    for key in treated:
        rounds = _rounds(mending, key) + 1
        counted = rounds if told else min(rounds, MOST_ROUNDS - 1)
        trials[key] = Trial(rounds=counted, at=at, gone_at=None if key in still else at)
    return mending.model_copy(update={"trials": trials, "open": bool(left)})


def remembered(mending: Mending, differences: Sequence[Difference], number: int, at: datetime) -> Mending:
    """The memory as it counts for what is seen now. Another revision clears it, and what stayed away for long
    enough is forgotten: a repair has held, or what was given up went away by itself."""
    there = {one.key for one in differences if not one.past}
    if mending.number != number:
        return Mending(number=number, open=bool(there))
    trials = {}
    for key, trial in mending.trials.items():
        if trial.gone_at is None or at - trial.gone_at <= _long(trial):
            gone_at = None if key in there else trial.gone_at or at
            trials[key] = trial.model_copy(update={"gone_at": gone_at})
    return Mending(number=number, trials=trials, open=bool(there))


ORDER = (
    Remedy.WAKE,
    Remedy.PROVISION,
    Remedy.REBUILD,
    Remedy.RESTART,
    Remedy.FIT,
    Remedy.AWAIT,
    Remedy.RELINK,
    Remedy.END,
)
"""Databases before servers, servers before the door that leads to them."""

REMEDIES = {
    Field.PROCESS: Remedy.FIT,
    Field.ANSWER: Remedy.RESTART,
    Field.WORK: Remedy.RESTART,
    Field.IMAGE: Remedy.FIT,
    Field.ENVIRONMENT: Remedy.FIT,
    Field.EXTRA: Remedy.END,
    Field.ROUTE: Remedy.RELINK,
    Field.LINK: Remedy.RELINK,
    Field.BUNDLE: Remedy.REBUILD,
    Field.DATABASE: Remedy.PROVISION,
    Field.ROLE: Remedy.PROVISION,
    Field.PASSWORD: Remedy.PROVISION,
    Field.GRANTS: Remedy.PROVISION,
    Field.CONNECTIONS: Remedy.PROVISION,
    Field.EXTENSION: Remedy.PROVISION,
    Field.REDIS: Remedy.PROVISION,
    Field.REDIS_PASSWORD: Remedy.PROVISION,
    Field.PERSISTENCE: Remedy.PROVISION,
}
OF_REPLICAS = frozenset({Field.PROCESS, Field.ANSWER, Field.WORK, Field.IMAGE, Field.ENVIRONMENT})


def _answers(
    one: Difference, rounds: int, among: Sequence[Difference]
) -> Iterator[tuple[Remedy, str | None]]:
    """What helps against one difference and whom it is for; None: all of the deployment's."""
    forced = rounds >= FORCE_FROM
    match one.field:
        case Field.PROCESS | Field.REDIS if one.seen == SUSPENDED and not forced:
            yield Remedy.WAKE, one.name
        case field if field in OF_REPLICAS and forced:
            yield Remedy.PROVISION, None
            yield Remedy.RESTART, one.name
        case Field.PROCESS if one.seen == STARTING:
            yield Remedy.AWAIT, one.name
        case Field.ANSWER | Field.WORK if not rounds and any(_explains(other) for other in among):
            yield Remedy.AWAIT, one.name
        case Field.ANSWER if not rounds and one.seen.startswith(SILENT):
            # Code that blocks, or a machine with too much to do: ending it at once would cost its runs.
            yield Remedy.AWAIT, one.name
        case Field.ROLE if one.seen == MISSING:
            # The sessions of the one that was dropped can do nothing any more, and pools are full of them.
            yield Remedy.PROVISION, one.name
            yield Remedy.RESTART, None
        case Field.DATABASE:
            # Made anew it is empty, and only a server that starts brings its schema up to date.
            yield Remedy.PROVISION, one.name
            yield Remedy.RESTART, None
        case Field.BUNDLE:
            yield Remedy.REBUILD, one.name
            yield Remedy.RESTART, None
        case field:
            yield REMEDIES[field], one.name


def _explains(other: Difference) -> bool:
    """Whether a replica that fails may be well again once this is: its databases are away, not itself ill."""
    return REMEDIES[other.field] is Remedy.PROVISION


def _treated(due: Sequence[Difference], rounds: Mapping[str, int]) -> dict[str, str]:
    return {
        one.key: ", ".join(
            remedy if target else f"{remedy} all" for remedy, target in _answers(one, rounds[one.key], due)
        )
        for one in due
    }


def _long(trial: Trial) -> timedelta:
    """How long a difference has to be gone before its trial is over."""
    return HOLDS if trial.rounds >= MOST_ROUNDS else max(HOLDS, pause_after(trial.rounds - 1))


def _rounds(mending: Mending, key: str) -> int:
    trial = mending.trials.get(key)
    return trial.rounds if trial else 0
