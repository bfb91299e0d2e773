"""Letting go of images nobody may need: a courtesy to the disk, so it never holds up anything else."""

from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

from workflows.steps import ControlSteps, PlaneSteps, on_plane, quick

LIMIT = timedelta(minutes=10)


async def collect(plane: str) -> None:
    """Ask the records what must stay, and the plane to drop the rest; what fails waits for the next time."""
    try:
        keep = await workflow.execute_activity_method(
            ControlSteps.images_to_keep, plane, **quick("see which images are needed")
        )
        await workflow.execute_activity_method(
            PlaneSteps.collect_images,
            keep,
            **on_plane(plane, "collect images", within=LIMIT),
        )
    except FailureError as error:
        if is_cancelled_exception(error):
            raise
        workflow.logger.warning("images were not collected", exc_info=error)
