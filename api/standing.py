"""How deployments and planes stand to their records, as callers see it: drift, its score, and who looks."""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Self
from uuid import UUID

from pydantic import Field

from api.bodies import Body
from api.shapes import Moment, Shape
from records import deployment, drift, orphan, plane
from records.difference import Outcome
from workflows.accounts import Finder
from workflows.drift import Field as Aspect
from workflows.drift import Severity
from workflows.mending import State
from workflows.shapes import Policy, ResourceKind


class Span(StrEnum):
    """The stretches of time that scores are told for, up to now."""

    HOUR = "1h"
    DAY = "24h"
    MONTH = "30d"


LENGTHS = {Span.HOUR: timedelta(hours=1), Span.DAY: timedelta(days=1), Span.MONTH: timedelta(days=30)}


class Visibility(StrEnum):
    """Whether a plane can be seen."""

    ONLINE = "online"
    OFFLINE = "offline"
    UNKNOWN = "unknown"
    """Its worker never said a word."""


class ChangeDrift(Body):
    """What is to be done about a deployment's drift from now on."""

    policy: Annotated[
        Policy,
        Field(
            description="`repair` it; only `report` it; or `paused`: do not even look.", examples=["report"]
        ),
    ]


class Score(Shape):
    """How drift was met in a stretch of time. Times are in seconds, null where nothing was measured."""

    found: Annotated[int, Field(description="Differences found.")]
    repaired: Annotated[int, Field(description="Differences that a repair ended.")]
    gone: Annotated[int, Field(description="Differences that went away without one.")]
    open: Annotated[int, Field(description="Differences that are there now, whenever they were found.")]
    detected_p50: Annotated[
        float | None, Field(description="From the beginning of half of them until they were noticed.")
    ]
    detected_p95: Annotated[float | None, Field(description="Likewise, of 95 in 100.")]
    repaired_p50: Annotated[
        float | None, Field(description="From the beginning of half of those repaired to their end.")
    ]
    repaired_p95: Annotated[float | None, Field(description="Likewise, of 95 in 100.")]


Scores = Annotated[
    dict[Span, Score], Field(description="Over the last hour, the last day and the last 30 days.")
]


class Difference(Shape):
    """Something that is or was not as the record says, though nobody asked for that."""

    id: str
    number: Annotated[int, Field(description="The number of the revision that served.")]
    field: Annotated[Aspect, Field(description="The aspect that differs.")]
    name: Annotated[str, Field(description="The thing: a server process, a database, a route.")]
    wanted: Annotated[str, Field(description="What the record says. Secrets are never told.")]
    seen: Annotated[str, Field(description="What the plane shows.")]
    sentence: Annotated[str, Field(description="The same for people.")]
    severity: Annotated[
        Severity,
        Field(description="`down`: requests or runs may fail; `degraded`; `latent`: nobody notices yet."),
    ]
    past: Annotated[bool, Field(description="It was over when it was seen: a process died and runs again.")]
    code: Annotated[str | None, Field(description="Why, in one word, if that is known.")]
    evidence: Annotated[str, Field(description="The last lines of a process that died or hangs.")]
    found_by: Annotated[Finder, Field(description="Who noticed first.")]
    since: Annotated[Moment | None, Field(description="When it began, if the plane has evidence of that.")]
    noticed_at: Annotated[Moment, Field(description="When somebody said that something is different.")]
    found_at: Annotated[Moment, Field(description="When it was clear what is.")]
    treated_at: Annotated[Moment | None, Field(description="When something was last done about it.")]
    treatment: Annotated[str, Field(description="What was done about it last, or why it ended.")]
    rounds: Annotated[int, Field(description="Repairs that did not hold.")]
    closed_at: Annotated[Moment | None, Field(description="When it ended; null while it is there.")]
    outcome: Annotated[Outcome | None, Field(description="How it ended: `repaired`, or `gone` by itself.")]
    lasted_ms: Annotated[int | None, Field(description="From its beginning to its end, once it ended.")]

    @classmethod
    def of(cls, row: drift.Drift) -> Self:
        fields = {name: getattr(row, name) for name in cls.model_fields if name not in ("id", "lasted_ms")}
        lasted = row.closed_at and max(row.closed_at - row.began, timedelta(0))
        return cls(id=str(row.id), lasted_ms=lasted and lasted // timedelta(milliseconds=1), **fields)


class Differences(Shape):
    """One page of what differed once; `offset` is what to send for the next page."""

    resources: list[Difference]
    offset: int


class Plane(Shape):
    """Where the servers run, and whether anybody there can be seen."""

    name: str
    status: Annotated[
        Visibility, Field(description="`offline`: nothing was heard of it for 20 seconds; `unknown`: ever.")
    ]
    visible: Annotated[bool, Field(description="Whether it is online.")]
    offline_since: Annotated[Moment | None, Field(description="When it was last there; null while it is.")]
    seen_at: Annotated[Moment | None, Field(description="Its last sign of life.")]

    @classmethod
    def of(cls, name: str, row: plane.Plane | None) -> Self:
        if row is None:
            return cls(name=name, status=Visibility.UNKNOWN, visible=False, offline_since=None, seen_at=None)
        there = row.offline_since is None
        return cls(
            name=name,
            status=Visibility.ONLINE if there else Visibility.OFFLINE,
            visible=there,
            offline_since=row.offline_since,
            seen_at=row.seen_at,
        )


class DeploymentDrift(Shape):
    """How a deployment stands to its record: what differs now, what is done about it, what did before."""

    deployment_id: UUID
    policy: Annotated[Policy, Field(description="What is done about drift.")]
    state: Annotated[
        State,
        Field(
            description="As of the last look: `steady`; `repairing`; `backing off`: a repair did not hold and "
            "is tried again later; `given up`: until the record or the plane changes, or somebody asks for a "
            "look; `reported`: it differs, and the policy is only to say so; `paused`."
        ),
    ]
    why: str
    since: Annotated[Moment | None, Field(description="When it came to be in this state.")]
    looked_at: Annotated[Moment | None, Field(description="When its servers were last looked at closely.")]
    next_try_at: Annotated[
        Moment | None, Field(description="When the next repair is due, while backing off.")
    ]
    plane: Plane
    open: Annotated[list[Difference], Field(description="What differs now, in the order of its finding.")]
    score: Scores
    recent: Annotated[
        Differences, Field(description="What differed once and does not any more, newest first.")
    ]

    @classmethod
    def of(
        cls,
        row: deployment.Deployment,
        where: Plane,
        now: list[drift.Drift],
        before: Differences,
        scores: Mapping[Span, drift.Score],
    ) -> Self:
        return cls(
            deployment_id=row.id,
            policy=row.policy,
            state=row.drift_state,
            why=row.drift_why,
            since=row.drift_since,
            looked_at=row.drift_looked_at,
            next_try_at=row.drift_next_try_at,
            plane=where,
            open=[Difference.of(one) for one in now],
            score=scored(scores),
            recent=before,
        )


class Differing(Shape):
    """A deployment that is not as its record says."""

    id: UUID
    name: str
    state: State
    why: str
    since: Moment | None
    open: Annotated[int, Field(description="How many differences are open.")]

    @classmethod
    def of(cls, row: deployment.Deployment, count: int) -> Self:
        return cls(
            id=row.id,
            name=row.name,
            state=row.drift_state,
            why=row.drift_why,
            since=row.drift_since,
            open=count,
        )


class Orphan(Shape):
    """Something with a name of ours on a plane that no deployment on record owns."""

    id: str
    kind: ResourceKind
    name: str
    holds_data: Annotated[bool, Field(description="Whether something would be lost with it.")]
    known: Annotated[bool, Field(description="Whether we made it. Only that is ever removed unasked.")]
    first_seen: Moment
    last_seen: Moment
    asked_at: Annotated[Moment | None, Field(description="When its removal was asked for.")]

    @classmethod
    def of(cls, row: orphan.Orphan) -> Self:
        fields = {name: getattr(row, name) for name in cls.model_fields if name != "id"}
        return cls(id=str(row.id), **fields)


class Sweep(Shape):
    """The last time everything on a plane was held against the records."""

    at: Moment
    sentence: str


class ListenerDrift(Plane):
    """How a plane stands to the records of one workspace."""

    swept: Annotated[
        Sweep | None,
        Field(description="The last sweep; told to the workspace that operates the plane, as are orphans."),
    ]
    score: Scores
    differing: Annotated[list[Differing], Field(description="Deployments of the workspace that differ now.")]
    orphans: Annotated[list[Orphan], Field(description="The oldest first.")]


def scored(scores: Mapping[Span, drift.Score]) -> dict[Span, Score]:
    return {span: Score.model_validate(score) for span, score in scores.items()}
