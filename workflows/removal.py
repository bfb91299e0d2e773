"""Removal: everything of a deployment gone from its plane, and shown to be gone by looking.

It has no other ending. As long as the plane shows something, it is asked again; only then the records go.
"""

from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from workflows.collection import collect
from workflows.shapes import Intent, Removed, Wish
from workflows.steps import ControlSteps, PlaneSteps, on_plane, quick

FIRST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(minutes=1)


@workflow.defn
class Removal:
    """One deployment's end."""

    @workflow.run
    async def run(self, intent: Intent) -> None:
        removed = Removed(deployment_id=intent.deployment_id)
        if intent.wanted is not None:
            removed = await self.empty(intent.wanted, intent.plane)
        await workflow.execute_activity_method(
            ControlSteps.record_removed, removed, **quick("record removal")
        )
        workflow.set_current_details(f"**{intent.name}** is gone; the plane was looked at and holds nothing.")
        await collect(intent.plane)

    async def empty(self, wish: Wish, plane: str) -> Removed:
        """Remove until a look finds nothing."""
        pause = FIRST_PAUSE
        while True:
            workflow.set_current_details(f"Removing **{wish.name}** from plane {plane}.")
            try:
                removed = await workflow.execute_activity_method(
                    PlaneSteps.remove, wish, **on_plane(plane, "remove and look")
                )
                left = ", ".join(f"{resource.kind} {resource.name}" for resource in removed.left)
            except ActivityError as error:
                if is_cancelled_exception(error):
                    raise
                left = f"the removal failed ({error.cause})"
            else:
                if not removed.left:
                    return removed
            workflow.set_current_details(f"Still there: {left}. Trying again.")
            await workflow.sleep(pause, summary=f"still there: {left}"[:200])
            pause = min(pause * 2, LONGEST_PAUSE)
