"""Nudging from the worker's side: what the api does after a commit, the sweep does for what was not heard."""

from uuid import UUID

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDConflictPolicy
from temporalio.service import RPCError, RPCStatusCode

from records import workspace
from records.deployment import Deployment as Row
from records.session import Sessions
from worker.notify import PATIENCE
from workflows import names
from workflows.accounts import Notice
from workflows.deployment import Deployment
from workflows.shapes import Entity


class Nudge:
    """Signals a deployment's workflow, and starts it if it does not run, under the names the api gives it."""

    def __init__(self, client: Client, sessions: Sessions) -> None:
        self._client = client
        self._sessions = sessions
        self._workspaces: dict[UUID, str] = {}

    async def __call__(self, row: Row) -> None:
        """Look at the record."""
        await self._signal(row, "look", [])

    async def inspect(self, row: Row, notice: Notice) -> None:
        """Look at the plane."""
        await self._signal(row, "inspect", [notice])

    async def alive(self, row: Row) -> bool:
        """Whether the deployment's workflow runs."""
        try:
            seen = await self._client.get_workflow_handle(names.deployment_workflow(row.id)).describe(
                rpc_timeout=PATIENCE
            )
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return False
            raise
        return seen.status is WorkflowExecutionStatus.RUNNING

    async def _signal(self, row: Row, signal: str, arguments: list[Notice]) -> None:
        tenant = await self._workspace(row.workspace_id)
        await self._client.start_workflow(
            Deployment.run,
            Entity(deployment_id=row.id, plane=row.plane),
            id=names.deployment_workflow(row.id),
            task_queue=names.CONTROL,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            start_signal=signal,
            start_signal_args=arguments,
            static_summary=f"{tenant}/{row.name}",
            search_attributes=TypedSearchAttributes(
                [SearchAttributePair(names.TENANT, tenant), SearchAttributePair(names.NAME, row.name)]
            ),
            rpc_timeout=PATIENCE,
        )

    async def _workspace(self, workspace_id: UUID) -> str:
        if workspace_id not in self._workspaces:
            async with self._sessions() as session:
                found = await workspace.get(session, workspace_id)
            self._workspaces[workspace_id] = found.name if found else ""
        return self._workspaces[workspace_id]
