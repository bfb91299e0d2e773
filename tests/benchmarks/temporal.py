"""What a rollout, a revision and an idle hour cost Temporal: events in histories, and billable actions.

Actions are counted as Temporal Cloud bills them: workflow starts (children too), signals, activity
attempts, timers, search attribute upserts and schedule firings.
"""

import asyncio
import time
from collections import Counter
from uuid import UUID

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from tests.benchmarks.table import Row
from workflows import names

ACTIONS = {
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
    EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED,
    EventType.EVENT_TYPE_TIMER_STARTED,
    EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES,
}


async def spent(client: Client, deployment: str) -> Counter[str]:
    """Events and actions of a deployment's workflow and all its children, so far."""
    entity = names.deployment_workflow(UUID(deployment))
    counted: Counter[str] = Counter()
    async for found in client.list_workflows(f'WorkflowId STARTS_WITH "{entity}"'):
        history = client.get_workflow_handle(found.id, run_id=found.run_id).fetch_history_events()
        async for event in history:
            counted["events"] += 1
            counted["actions"] += event.event_type in ACTIONS
    return counted


async def idle(client: Client, seconds: float) -> Counter[str]:
    """Events and actions of everything that ran in a window in which nobody asked for anything."""
    began = time.time()
    await asyncio.sleep(seconds)
    counted: Counter[str] = Counter()
    async for found in client.list_workflows():
        async for event in client.get_workflow_handle(found.id, run_id=found.run_id).fetch_history_events():
            if event.event_time.seconds >= began:
                counted["events"] += 1
                counted["actions"] += event.event_type in ACTIONS
    return counted


def rows(
    first: Counter[str], revision: Counter[str], hour: Counter[str], window: float, deployments: int
) -> list[Row]:
    def told(counted: Counter[str]) -> str:
        return f"{counted['events']} events, {counted['actions']} actions"

    scale = 3600 / window
    return [
        Row("Temporal, first deploy", told(first), "≤ 40 actions", first["actions"] <= 40),
        Row("Temporal, a revision", told(revision), "≤ 40 actions", revision["actions"] <= 40),
        Row(
            f"Temporal, an idle hour of the whole stack ({deployments} deployments)",
            f"{hour['events'] * scale:.0f} events, {hour['actions'] * scale:.0f} actions, the sweep's",
        ),
    ]
