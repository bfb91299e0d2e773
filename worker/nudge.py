"""Nudging from the worker's side: what the api does after a commit, the sweep does for what was not heard."""

from datetime import timedelta

from temporalio.client import Client
from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDConflictPolicy

from records.deployment import Deployment as Row
from workflows import names
from workflows.deployment import Deployment
from workflows.shapes import Entity

PATIENCE = timedelta(seconds=5)


class Nudge:
    """Signals a deployment's workflow to look, and starts it if it does not run."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def __call__(self, row: Row) -> None:
        await self._client.start_workflow(
            Deployment.run,
            Entity(deployment_id=row.id, plane=row.plane),
            id=names.deployment_workflow(row.id),
            task_queue=names.CONTROL,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            start_signal="look",
            static_summary=row.name,
            search_attributes=TypedSearchAttributes([SearchAttributePair(names.NAME, row.name)]),
            rpc_timeout=PATIENCE,
        )
