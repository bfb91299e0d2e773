"""What a plane tells the control plane of itself: its whole content in pages, and that it is alive.

A page covers a range of deployments, named by the eight digits that planes know them by, so whoever reads it
also learns what is not there. Nothing of this goes through Temporal: a plane of a thousand deployments would
fill histories with lists.
"""

from pydantic import BaseModel

from workflows.drift import Fact, Field
from workflows.shapes import PlaneKind, Resource


class Seen(BaseModel):
    """What a plane has of one deployment."""

    short: str
    facts: list[Fact] = []
    resources: list[Resource] = []
    """Everything of ours by its natural name, whether some record knows it or not."""


class SurveyPage(BaseModel):
    """All that a plane has of the deployments from `first` up to and without `end` (None: to the last)."""

    plane: str
    first: str
    end: str | None
    looked: list[Field]
    seen: list[Seen]


class Verdict(BaseModel):
    """What came of one page."""

    deployments: int = 0
    differ: list[str] = []
    """A few of those that differ, each as "my-agent lost a replica"; `differing` counts them all."""
    differing: int = 0
    orphans: int = 0
    remove: list[Resource] = []
    """Orphans whose time has come: to be removed now."""


class Beat(BaseModel):
    """A plane's worker is there."""

    plane: str
    kind: PlaneKind = PlaneKind.LOCAL
    version: str = ""


class Tidings(BaseModel):
    """What came of a whole pass over a plane."""

    plane: str
    sentence: str
