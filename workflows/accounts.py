"""What a deployment's workflow tells the records of drift: what was seen, what was done, how it stands."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pydantic import BaseModel

from workflows.drift import Difference, Fact, Field
from workflows.mending import State


class Finder(StrEnum):
    """Who noticed first."""

    WATCH = "watch"
    SWEEP = "sweep"
    PERSON = "person"
    WORKFLOW = "workflow"
    """A look after a repair found more."""


class Notice(BaseModel):
    """Something seems to differ: who says so, and since when they know."""

    by: Finder
    at: datetime


class Sighted(BaseModel):
    """All that a plane shows of one deployment that some revision serves."""

    at: datetime
    looked: list[Field]
    facts: list[Fact]


class Account(BaseModel):
    """One look at a deployment and what came of it. Told twice it says nothing new."""

    deployment_id: UUID
    revision_id: UUID
    number: int
    notice: Notice
    at: datetime
    """When the plane was looked at."""
    differences: list[Difference]
    state: State
    why: str = ""
    treated: dict[str, str] = {}
    """By difference: what was done about it before this look. One that is gone now was repaired by that."""
    next_try_at: datetime | None = None
    rounds: int = 0
    looked: list[Field] | None = None
    """What could be looked at; of anything else nothing is known, and what differed may still. None: all."""
