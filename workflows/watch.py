"""Watch: one per plane and for ever. Its one step follows the plane, so that drift is seen in seconds and not
by the next sweep; whatever becomes of the step, it is begun again."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, is_cancelled_exception

from workflows.steps import PlaneSteps, on_plane

SOON = RetryPolicy(initial_interval=timedelta(milliseconds=500), maximum_interval=timedelta(seconds=5))
PAUSE = timedelta(seconds=5)
SHIFTS = 20
"""So many in one history."""


@workflow.defn
class Watch:
    """The eyes on one plane."""

    @workflow.run
    async def run(self, plane: str) -> None:
        for _ in range(SHIFTS):
            try:
                await workflow.execute_activity_method(
                    PlaneSteps.watch, plane, **on_plane(plane, "watch", retry=SOON)
                )
            except ActivityError as error:
                if is_cancelled_exception(error):
                    raise
                workflow.logger.warning("the watch was lost", exc_info=error)
                await workflow.sleep(PAUSE, summary="the watch was lost")
        workflow.continue_as_new(plane)
