"""The schedules there should be: made if missing, put right if they differ, and otherwise left alone."""

from datetime import timedelta

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)

from workflows import names
from workflows.sweep import Sweep

CATCH_UP = timedelta(minutes=1)
"""A sweep looks at everything there is; one that was missed is made up for by the next."""


async def keep_sweep(client: Client, plane: str, every: timedelta) -> None:
    """One sweep per plane."""
    wanted = sweep(plane, every)
    try:
        await client.create_schedule(names.sweep_schedule(plane), wanted)
    except ScheduleAlreadyRunningError:

        async def put_right(seen: ScheduleUpdateInput) -> ScheduleUpdate | None:
            now = seen.description.schedule
            if now.spec.intervals == wanted.spec.intervals and now.policy == wanted.policy:
                return None
            return ScheduleUpdate(schedule=wanted)

        await client.get_schedule_handle(names.sweep_schedule(plane)).update(put_right)


def sweep(plane: str, every: timedelta) -> Schedule:
    return Schedule(
        action=ScheduleActionStartWorkflow(
            Sweep.run,
            plane,
            id=names.sweep_schedule(plane),
            task_queue=names.CONTROL,
            static_summary=f"wishes of plane {plane} that nobody moved",
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=CATCH_UP),
    )
