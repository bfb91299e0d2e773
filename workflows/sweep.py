"""Sweep: on a schedule, finds what nobody moved and what nobody saw change. Nothing is decided here; a nudge
says only *look again*."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import (
    ActivityError,
    FailureError,
    TimeoutError,
    TimeoutType,
    is_cancelled_exception,
)

from workflows.shapes import Swept
from workflows.steps import ControlSteps, PlaneSteps, on_plane, quick

LIMIT = timedelta(minutes=5)
"""After an outage there may be thousands to nudge."""
ABSENT = timedelta(seconds=20)
"""A plane that takes no step for so long is away; its next sweep asks again."""

ONCE_MORE = RetryPolicy(maximum_attempts=2)
"""For a worker that was lost in the middle; what else fails is the next sweep's."""


@workflow.defn
class Sweep:
    """One pass over the wishes of one plane, and over the plane."""

    @workflow.run
    async def run(self, plane: str) -> Swept:
        swept = await workflow.execute_activity_method(
            ControlSteps.nudge_unattended, plane, **quick("nudge what waits", LIMIT)
        )
        if workflow.patched("survey"):
            swept = both(swept, await self.survey(plane))
        workflow.set_current_details(swept.sentence)
        return swept

    async def survey(self, plane: str) -> Swept:
        """Hold everything on the plane against the records; what hinders that is the sentence."""
        try:
            return await workflow.execute_activity_method(
                PlaneSteps.survey,
                plane,
                **on_plane(plane, "compare everything", within=LIMIT, begun_within=ABSENT, retry=ONCE_MORE),
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            cause = error.cause
            if isinstance(cause, TimeoutError) and cause.type is TimeoutType.SCHEDULE_TO_START:
                return Swept(sentence=f"plane {plane} cannot be seen: its worker is away")
            said = cause.message if isinstance(cause, FailureError) else error.message
            return Swept(sentence=f"plane {plane} was not compared: {said}")


def both(waiting: Swept, surveyed: Swept) -> Swept:
    """Such as "412 deployments, 1 differs: my-agent lost a replica; 1 nudged: other waited 70 s"."""
    _, _, nudged = waiting.sentence.partition(", ")
    seen = surveyed.deployments or not waiting.deployments
    parts = [surveyed.sentence] if seen else [waiting.sentence, surveyed.sentence]
    if seen and (waiting.nudged or "could not" in nudged):
        parts.append(nudged)
    return Swept(
        deployments=waiting.deployments,
        nudged=waiting.nudged,
        differing=surveyed.differing,
        orphans=surveyed.orphans,
        sentence="; ".join(parts),
    )
