"""Sweep: on a schedule, finds what nobody moved. Nothing is decided here; a nudge says only *look again*."""

from datetime import timedelta

from temporalio import workflow

from workflows.shapes import Swept
from workflows.steps import ControlSteps, quick

LIMIT = timedelta(minutes=5)
"""After an outage there may be thousands to nudge."""


@workflow.defn
class Sweep:
    """One pass over the wishes of one plane."""

    @workflow.run
    async def run(self, plane: str) -> Swept:
        swept = await workflow.execute_activity_method(
            ControlSteps.nudge_unattended, plane, **quick("nudge what waits", LIMIT)
        )
        workflow.set_current_details(swept.sentence)
        return swept
