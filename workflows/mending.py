"""From differences to the smallest thing that may help, and when to stop trying: pure.

A repair that does not hold is tried again with growing pauses and growing force; after that it is left alone
and said so, because what comes back every time is somebody's will, or beyond repair. Trying begins anew once
the record wants something else or the plane shows something else.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from pydantic import BaseModel

from workflows.drift import STARTING, SUSPENDED, Difference, Field, sentence
from workflows.shapes import Mending, Policy, Wish

FIRST_PAUSE = timedelta(seconds=2)
GROWTH = 3
LONGEST_PAUSE = timedelta(minutes=5)
MOST_ROUNDS = 7
"""Repairs of one difference that did not hold; with the pauses between them some fifteen minutes."""
FORCE_FROM = 2
"""From so many rounds on, all replicas are started anew as well: short of a rollout, there is nothing more."""
HOLDS = timedelta(minutes=5)
"""A repair that lasted so long has held; what comes after is another story."""


class Remedy(StrEnum):
    """What a plane can do for one deployment without a new revision, smallest first."""

    AWAIT = "await"
    """Only watch it come back: whoever supervises is at it already."""
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
    """What to do about differences: treat them now, at `after`, or not at all."""

    state: State
    treatments: list[Treatment]
    pause: timedelta
    why: str


def course(differences: Sequence[Difference], mending: Mending, policy: Policy) -> Course:
    """What to do about what differs now. Past differences are only told."""
    present = [one for one in differences if not one.past]
    if policy is Policy.PAUSED:
        return Course(State.PAUSED, [], timedelta(0), "Nobody looks: drift is paused.")
    if not present:
        return Course(State.STEADY, [], timedelta(0), "All is as the record says.")
    why = "; ".join(sentence(one) for one in present[:3])
    if policy is Policy.REPORT:
        return Course(State.REPORTED, [], timedelta(0), f"{why}. Only reported, as its policy says.")
    keys = sorted(one.key for one in present)
    rounds = max(mending.rounds.get(key, 0) for key in keys)
    if mending.given_up and mending.given_up == keys:
        return Course(State.GIVEN_UP, [], timedelta(0), f"{why}. Repairs did not hold; left alone.")
    if rounds >= MOST_ROUNDS:
        return Course(State.GIVEN_UP, [], timedelta(0), f"{why}. {rounds} repairs did not hold; left alone.")
    pause = min(FIRST_PAUSE * GROWTH ** (rounds - 1), LONGEST_PAUSE) if rounds else timedelta(0)
    state = State.BACKING_OFF if rounds else State.REPAIRING
    return Course(state, treatments(present, rounds), pause, why)


def treatments(differences: Sequence[Difference], rounds: int) -> list[Treatment]:
    """The smallest set that answers every difference, in the order in which it is to be done."""
    targets: dict[Remedy, set[str]] = {}
    for one in differences:
        for remedy in _remedies(one):
            targets.setdefault(remedy, set()).add(one.name)
    if rounds >= FORCE_FROM:
        targets.setdefault(Remedy.PROVISION, set())
        targets[Remedy.RESTART] = set()
    order = list(ORDER)
    return [
        Treatment(remedy=remedy, targets=sorted(targets[remedy]))
        for remedy in sorted(targets, key=order.index)
    ]


def after_repair(
    mending: Mending, left: Sequence[Difference], treated: Sequence[str], at: datetime
) -> Mending:
    """What to remember of a repair that has just been made: a treated difference that is there once more
    counts against it."""
    still = {one.key for one in left if not one.past}
    rounds = {key: mending.rounds.get(key, 0) + 1 for key in {*treated, *mending.rounds} & still}
    return mending.model_copy(update={"rounds": rounds, "repaired_at": at})


def remembered(mending: Mending, differences: Sequence[Difference], number: int, at: datetime) -> Mending:
    """The memory as it counts for what is seen now: another revision, or a repair that held, clears it."""
    if mending.number != number:
        return Mending(number=number)
    if mending.repaired_at is not None and at - mending.repaired_at > HOLDS and not mending.given_up:
        return Mending(number=number)
    keys = sorted(one.key for one in differences if not one.past)
    if mending.given_up and mending.given_up != keys:
        return Mending(number=number)
    return mending


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


def _remedies(difference: Difference) -> tuple[Remedy, ...]:
    match difference.field:
        case Field.PROCESS if difference.seen == SUSPENDED:
            return (Remedy.WAKE,)
        case Field.PROCESS if difference.seen == STARTING:
            return (Remedy.AWAIT,)
        case Field.REDIS if difference.seen == SUSPENDED:
            return (Remedy.WAKE,)
        case Field.DATABASE:
            # Made anew it is empty, and only a server that starts brings its schema up to date.
            return (Remedy.PROVISION, Remedy.RESTART)
        case Field.BUNDLE:
            return (Remedy.REBUILD, Remedy.RESTART)
        case field:
            return (REMEDIES[field],)


REMEDIES = {
    Field.PROCESS: Remedy.FIT,
    Field.ANSWER: Remedy.RESTART,
    Field.WORK: Remedy.RESTART,
    Field.IMAGE: Remedy.FIT,
    Field.ENVIRONMENT: Remedy.FIT,
    Field.EXTRA: Remedy.END,
    Field.ROUTE: Remedy.RELINK,
    Field.LINK: Remedy.RELINK,
    Field.ROLE: Remedy.PROVISION,
    Field.PASSWORD: Remedy.PROVISION,
    Field.GRANTS: Remedy.PROVISION,
    Field.CONNECTIONS: Remedy.PROVISION,
    Field.EXTENSION: Remedy.PROVISION,
    Field.REDIS: Remedy.PROVISION,
    Field.REDIS_PASSWORD: Remedy.PROVISION,
    Field.PERSISTENCE: Remedy.PROVISION,
}
