"""When to strike: waits until a deployment's workflow is in the middle of a named step.

Temporal itself is asked which activities are pending, so a kill lands inside the step and not near a guess
of its time. A step that is over before it was seen is reported, never passed over silently.
"""

import asyncio
import time
from uuid import UUID

from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionResponse
from temporalio.client import Client
from temporalio.service import RPCError

from workflows import names

STEPS = {
    "building": "build",
    "provisioning": "provision",
    "starting": "await_ready",
    "proving": "prove",
    "switching": "switch",
    "deleting": "remove",
}


class Missed(Exception):
    """The step was over before it could be seen."""


async def until_step(client: Client, deployment: str, step: str, limit: float = 60) -> int:
    """Return while the activity behind `step` has been started and not yet finished; the pid of the worker
    that does it."""
    activity, deadline = STEPS[step], time.monotonic() + limit
    entity = names.deployment_workflow(UUID(deployment))
    while time.monotonic() < deadline:
        described = await _describe(client, entity)
        for child in described.pending_children if described else []:
            inner = await _describe(client, child.workflow_id)
            for pending in inner.pending_activities if inner else []:
                started = pending.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
                if pending.activity_type.name == activity and started:
                    return int(pending.last_worker_identity.partition("@")[0])
        await asyncio.sleep(0.005)
    raise Missed(f"{step} ({activity}) was never seen running within {limit:.0f} s")


async def _describe(client: Client, workflow: str) -> DescribeWorkflowExecutionResponse | None:
    try:
        return (await client.get_workflow_handle(workflow).describe()).raw_description
    except RPCError:
        return None
