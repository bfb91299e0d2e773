"""What should always be there on Temporal for a plane, its sweep and its watch: made if missing, put right if
it differs, and otherwise left alone. Two workers may do so at once."""

import asyncio
import contextlib
from datetime import timedelta

import structlog
from temporalio.api.common.v1 import Payload
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleState,
    ScheduleUpdate,
    ScheduleUpdateInput,
    WorkflowExecutionStatus,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from workflows import names
from workflows.sweep import Sweep
from workflows.watch import Watch

CATCH_UP = timedelta(minutes=1)
"""A sweep looks at everything there is; one that was missed is made up for by the next."""
USUALLY = timedelta(minutes=1)
"""What a paused schedule says, for it must say something."""
PAUSED = "Paused by Graphyard: sweep_seconds is 0."
"""Only who paused it so unpauses it."""
AGAIN = 20.0
"""Seconds after which somebody may have taken away what should always be there."""

log = structlog.get_logger()


async def keep(client: Client, plane: str, every: timedelta) -> None:
    """See to both for as long as the worker lives; what fails is tried again the next time."""
    while True:
        try:
            await keep_sweep(client, plane, every)
            await keep_watch(client, plane)
        except Exception as error:
            log.warning("sweep and watch are not seen to", error=type(error).__name__)
        await asyncio.sleep(AGAIN)


async def keep_sweep(client: Client, plane: str, every: timedelta) -> None:
    """One sweep per plane, paused if `every` is nothing. A pause that a person made stays."""
    wanted = sweep(plane, every)

    async def put_right(seen: ScheduleUpdateInput) -> ScheduleUpdate | None:
        now = seen.description.schedule
        ours = now.state.note == PAUSED or not now.state.paused
        state = wanted.state if ours else now.state
        alike = now.spec.intervals == wanted.spec.intervals and now.policy == wanted.policy
        if alike and state.paused == now.state.paused and await is_said(client, now, wanted):
            return None
        return ScheduleUpdate(schedule=Schedule(wanted.action, wanted.spec, wanted.policy, state))

    try:
        await client.create_schedule(names.sweep_schedule(plane), wanted)
    except ScheduleAlreadyRunningError:
        await client.get_schedule_handle(names.sweep_schedule(plane)).update(put_right)


async def keep_watch(client: Client, plane: str) -> None:
    """One watch per plane, begun again if somebody ended it."""
    handle = client.get_workflow_handle(names.watch_workflow(plane))
    try:
        if (await handle.describe()).status is WorkflowExecutionStatus.RUNNING:
            return
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
    with contextlib.suppress(WorkflowAlreadyStartedError):
        await client.start_workflow(
            Watch.run,
            plane,
            id=names.watch_workflow(plane),
            task_queue=names.CONTROL,
            static_summary=f"whatever changes on plane {plane}",
        )
        log.info("watching", plane=plane)


def sweep(plane: str, every: timedelta) -> Schedule:
    return Schedule(
        action=ScheduleActionStartWorkflow(
            Sweep.run,
            plane,
            id=names.sweep_schedule(plane),
            task_queue=names.CONTROL,
            static_summary=summary(plane),
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every or USUALLY)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=CATCH_UP),
        state=ScheduleState() if every else ScheduleState(paused=True, note=PAUSED),
    )


def summary(plane: str) -> str:
    return f"all of plane {plane} against the records"


async def is_said(client: Client, now: Schedule, wanted: Schedule) -> bool:
    """Whether its sweeps say of themselves what they should: a schedule of an earlier release says less."""
    said, should = (
        one.action.static_summary if isinstance(one.action, ScheduleActionStartWorkflow) else None
        for one in (now, wanted)
    )
    if isinstance(said, Payload):
        (said,) = await client.data_converter.decode([said], [str])
    return said == should
