"""Which queue runs which workflows and activities, and how many at once: the control side on one queue, each
plane on its own, so a plane that is away delays only itself."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.worker import Interceptor, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from workflows import names
from workflows.deployment import Deployment
from workflows.removal import Removal
from workflows.rollout import Rollout
from workflows.steps import ControlSteps, PlaneSteps
from workflows.sweep import Sweep
from workflows.watch import Watch

WORKFLOWS = [Deployment, Rollout, Removal, Sweep, Watch]
PURE = [
    f"workflows.{name}"
    for name in (
        "accounts",
        "causes",
        "collection",
        "decide",
        "drift",
        "mending",
        "names",
        "pods",
        "shapes",
        "steps",
        "story",
        "surveys",
        "together",
        "trials",
    )
]
"""Modules the sandbox need not load anew for every workflow: they hold no state."""

GRACE = timedelta(seconds=5)
"""For short steps to end at a shutdown; long ones are told, and tried again after the restart."""
THROTTLE = timedelta(seconds=2)
"""How often a heartbeat is sent at most, and so how soon a cancellation is heard at least."""
CACHED = 200
"""Workflows kept in memory, at about 0.25 MB each; one that is not is replayed when it is nudged."""
STICKY = timedelta(seconds=3)
"""How long a workflow waits for the worker that has it in its cache before any other may take it: after a
kill, all of them wait this long."""


def control_worker(
    client: Client, steps: ControlSteps, *, interceptors: Sequence[Interceptor], grace: timedelta = GRACE
) -> Worker:
    """All workflows, and the steps over the records."""
    return Worker(
        client,
        task_queue=names.CONTROL,
        workflows=WORKFLOWS,
        activities=bound(steps, ControlSteps),
        workflow_runner=runner(),
        interceptors=interceptors,
        max_concurrent_activities=20,
        max_cached_workflows=CACHED,
        sticky_queue_schedule_to_start_timeout=STICKY,
        graceful_shutdown_timeout=grace,
    )


def plane_worker(
    client: Client,
    plane: str,
    steps: PlaneSteps,
    *,
    interceptors: Sequence[Interceptor],
    grace: timedelta = GRACE,
    throttle: timedelta = THROTTLE,
) -> Worker:
    """The steps of one plane. Most of them wait, so there may be many."""
    return Worker(
        client,
        task_queue=names.plane_queue(plane),
        activities=bound(steps, PlaneSteps),
        interceptors=interceptors,
        max_concurrent_activities=100,
        max_heartbeat_throttle_interval=throttle,
        default_heartbeat_throttle_interval=throttle,
        graceful_shutdown_timeout=grace,
    )


def runner() -> SandboxedWorkflowRunner:
    """The sandbox, with what is pure passed through."""
    return SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default.with_passthrough_modules(*PURE))


def bound(steps: object, declared: type) -> list[Callable[..., Any]]:
    """The steps that a side declares, as methods of who does them."""
    return [
        getattr(steps, name)
        for name, step in vars(declared).items()
        if hasattr(step, "__temporal_activity_definition")
    ]
