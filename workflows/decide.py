"""From what is wanted to what is to be done next: pure, so that every case can be put into a table."""

from enum import StrEnum
from typing import NamedTuple

from workflows.causes import Cause, Code
from workflows.shapes import Intent, PlaneKind, SourceKind, Wish

CONTAINERS = frozenset({SourceKind.EXTERNAL_DOCKER, SourceKind.INTERNAL_DOCKER})
"""The sources whose image somebody else built."""


class Act(StrEnum):
    """What a deployment's workflow may do after a look."""

    ROLL_OUT = "roll out"
    """Start a rollout of the wanted revision."""
    GIVE_UP = "give up"
    """Ask the rollout in flight to end; the next look comes when it has."""
    WAIT = "wait"
    """The rollout in flight is the right one, or is ending."""
    REST = "rest"
    """All is as wanted."""
    REMOVE = "remove"
    """Take everything away."""
    LEAVE = "leave"
    """There is no such deployment any more."""


class Decision(NamedTuple):
    """The act, and the sentence that the Temporal UI shows for it."""

    act: Act
    why: str


def decide(intent: Intent, rolling: int | None, given_up: bool = False) -> Decision:
    """What to do now. `rolling` is the number of the revision whose rollout is in flight, `given_up` whether
    that one was asked to end. One rollout at a time: nothing begins before the last one has ended."""
    if intent.deleted:
        return _deleted(intent, rolling, given_up)
    if rolling is not None:
        return _in_flight(intent, rolling, given_up)
    if intent.wanted is not None:
        return Decision(Act.ROLL_OUT, f"Revision {intent.wanted.number} is wanted.")
    if intent.active is not None:
        return Decision(Act.REST, f"Revision {intent.active} serves.")
    return Decision(Act.REST, "Nothing serves, and nothing is wanted.")


def refusal(wish: Wish, plane: str, kind: PlaneKind) -> Cause | None:
    """Why this kind of plane can never run such a source, if it cannot."""
    if wish.source not in CONTAINERS or kind is not PlaneKind.LOCAL:
        return None
    return Cause(
        code=Code.NOT_ON_THIS_PLANE,
        message=f"Plane {plane!r} runs processes on one machine and cannot run a container image.",
        fix="A Kubernetes plane could run it. Here, deploy the source instead: `langgraph deploy --remote`.",
    )


def _deleted(intent: Intent, rolling: int | None, given_up: bool) -> Decision:
    if rolling is not None:
        act = Act.WAIT if given_up else Act.GIVE_UP
        return Decision(act, f"Deleted; revision {rolling} is given up first.")
    if not intent.plane:
        return Decision(Act.LEAVE, "The deployment is not on record.")
    return Decision(Act.REMOVE, "The deployment was deleted.")


def _in_flight(intent: Intent, rolling: int, given_up: bool) -> Decision:
    wanted = intent.wanted.number if intent.wanted else None
    if wanted == rolling and not given_up:
        return Decision(Act.WAIT, f"Revision {rolling} is rolling out.")
    if given_up:
        return Decision(Act.WAIT, f"Revision {rolling} is being given up.")
    if wanted is not None:
        return Decision(Act.GIVE_UP, f"Revision {wanted} is newer than {rolling}.")
    if intent.active == rolling:
        return Decision(Act.WAIT, f"Revision {rolling} serves.")
    return Decision(Act.GIVE_UP, f"Revision {rolling} is not wanted any more.")
