"""A control plane for tests: real records, real Temporal, real steps, over a plane that only remembers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError

from activities.control.records import RecordSteps
from activities.plane.steps import PortSteps
from dataplane.memory import Memory
from records import deployment, drift, inventory, revision, wish
from records.deployment import Deployment as Row
from records.drift import Drift
from records.revision import Revision
from records.session import Sessions
from records.specification import Change
from tests.rows import a_deployment, an_upload
from tests.surveys import Judge
from worker.context import StepContext
from worker.notify import Notifier
from worker.nudge import Nudge
from worker.queues import control_worker, plane_worker
from workflows import names
from workflows.causes import Cause
from workflows.deployment import Deployment
from workflows.mending import State
from workflows.shapes import ResourceKind, RevisionStatus, Swept
from workflows.sweep import Sweep

LIMIT = 20.0
SOON = timedelta(milliseconds=50)


class Yard:
    """What a test drives: rows as the api would write them, nudges, a plane to hold and break, and looks at
    what became of it all."""

    def __init__(self, client: Client, sessions: Sessions) -> None:
        self.client = client
        self.sessions = sessions
        self.memory = Memory()
        # A plane, and so a task queue, of its own: what an earlier test left running finds no worker here.
        self.plane = self.memory.plane(f"local-{uuid4().hex[:8]}")
        self.nudge = Nudge(client, sessions)
        self.surveys = Judge(sessions, self.nudge)
        self.records = RecordSteps(
            sessions, public_url="http://127.0.0.1:4747", nudge=self.nudge, patience=timedelta(0)
        )

    @asynccontextmanager
    async def working(self, with_plane: bool = True, client: Client | None = None) -> AsyncIterator[None]:
        """Both workers; leaving stops them as a shutdown would. A second pair needs a client of its own."""
        client = client or self.client
        control = control_worker(client, self.records, interceptors=[StepContext()], grace=timedelta(0))
        plane = plane_worker(
            client,
            self.plane.name,
            PortSteps(self.plane, surveys=self.surveys, notify=Notifier(client)),
            interceptors=[StepContext()],
            grace=timedelta(0),
            throttle=SOON,
        )
        async with control, plane if with_plane else contextlib.nullcontext():
            yield

    # -- what a caller does ----------------------------------------------------------

    async def create(self, content: bytes = b"one", **fields: Any) -> Row:
        """A deployment with its first revision, not nudged yet."""
        async with self.sessions.begin() as session:
            row = await a_deployment(session, **{"plane": self.plane.name, **fields})
        await self.wish(row, content)
        return row

    async def wish(self, row: Row, content: bytes | None = None, **change: Any) -> Revision:
        """Another revision: with an archive of that content, or with what the change says."""
        async with self.sessions.begin() as session:
            if content is not None:
                archive = await an_upload(session, row, content)
                config = {
                    "source_tarball_path": archive.object_path,
                    "langgraph_config_path": "langgraph.json",
                }
                change = {"upload_id": archive.id, "source_revision_config": config, **change}
            return await wish.add(session, row.id, Change(**change))

    async def deploy(self, content: bytes = b"one", **fields: Any) -> Row:
        """A deployment whose first revision is being looked at."""
        row = await self.create(content, **fields)
        await self.nudge(row)
        return row

    async def redeploy(self, row: Row, content: bytes | None = None, **change: Any) -> int:
        """Another revision, nudged; its number."""
        added = await self.wish(row, content, **change)
        await self.nudge(row)
        return added.number

    async def interrupt(self, row: Row, number: int, heard: bool = True) -> None:
        async with self.sessions.begin() as session:
            ids = await revision.by_number(session, row.id, [number])
            await wish.interrupt(session, row.id, ids[number])
        if heard:
            await self.nudge(row)

    async def delete(self, row: Row, heard: bool = True) -> None:
        async with self.sessions.begin() as session:
            await deployment.mark_deleted(session, row.id)
        if heard:
            await self.nudge(row)

    # -- what became of it -----------------------------------------------------------

    async def ended(self, row: Row, number: int) -> RevisionStatus:
        """The end of a revision, waited for."""
        await until(lambda: self._over(row, number))
        return (await self.revision(row, number)).status

    async def gone(self, row: Row) -> None:
        """Wait for the deployment's workflow to complete."""
        async with asyncio.timeout(LIMIT):
            await self.entity(row.id).result()

    async def settled(self, row: Row) -> None:
        """Wait until the deployment's workflow has nothing left to do: no child, no step."""
        await until(lambda: self._idle(row))

    async def revision(self, row: Row, number: int) -> Revision:
        async with self.sessions() as session:
            ids = await revision.by_number(session, row.id, [number])
            return await session.get_one(Revision, ids[number])

    async def cause(self, row: Row, number: int) -> Cause:
        return Cause.model_validate((await self.revision(row, number)).cause)

    async def sweep(self) -> Swept:
        return await self.client.execute_workflow(
            Sweep.run, self.plane.name, id=f"sweep-{uuid4()}", task_queue=names.CONTROL
        )

    async def standing(self, row: Row, state: State) -> Row:
        """Wait until the record says that the deployment stands so to it."""

        async def seen() -> bool:
            found = await self.row(row)
            return found is not None and found.drift_state is state and found.drift_looked_at is not None

        await until(seen)
        found = await self.row(row)
        assert found is not None, "it was there a moment ago"
        return found

    async def drifts(self, row: Row) -> list[Drift]:
        """All there was, newest first."""
        async with self.sessions() as session:
            return await drift.recent(session, row.id)

    async def was_begun(self, row: Row, number: int) -> bool:
        try:
            await self.rollout(row, number).describe()
        except RPCError:
            return False
        return True

    async def row(self, row: Row) -> Row | None:
        async with self.sessions() as session:
            return await session.get(Row, row.id)

    async def active(self, row: Row) -> int | None:
        async with self.sessions() as session:
            found = await session.get_one(Row, row.id)
            active = (
                await session.get(Revision, found.active_revision_id) if found.active_revision_id else None
            )
            return active.number if active else None

    async def there(self, row: Row) -> list[str]:
        """What the inventory says exists of processes."""
        async with self.sessions() as session:
            rows = await inventory.listed(session, row.id)
            return sorted(
                item.name for item in rows if item.gone_at is None and item.kind is ResourceKind.PROCESS
            )

    def running(self, row: Row) -> list[int]:
        """The revisions that have replicas on the plane."""
        return sorted(replica.revision for replica in self.memory.replicas[row.id].values())

    def entity(self, deployment_id: UUID) -> WorkflowHandle[Deployment, None]:
        return self.client.get_workflow_handle_for(Deployment.run, names.deployment_workflow(deployment_id))

    def rollout(self, row: Row, number: int, attempt: int = 1) -> WorkflowHandle[Any, Any]:
        return self.client.get_workflow_handle(names.rollout_workflow(row.id, number, attempt))

    async def asked_to_end(self, row: Row, number: int) -> None:
        """Wait until a rollout in flight has been asked to end."""
        asked = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED

        async def seen() -> bool:
            history = await self.rollout(row, number).fetch_history()
            return any(event.event_type == asked for event in history.events)

        await until(seen)

    async def removal_paused(self, row: Row) -> None:
        """Wait until a removal has found something left, and waits to try again."""
        paused = EventType.EVENT_TYPE_TIMER_STARTED

        async def seen() -> bool:
            removal = self.client.get_workflow_handle(names.removal_workflow(row.id))
            return any(event.event_type == paused for event in (await removal.fetch_history()).events)

        await until(seen)

    async def completed(self, workflow_id: str) -> None:
        """Wait until a workflow has ended well."""
        async with asyncio.timeout(LIMIT):
            await self.client.get_workflow_handle(workflow_id).result()

    async def end(self) -> None:
        """Leave nothing running for the next test to meet."""
        async for found in self.client.list_workflows("ExecutionStatus = 'Running'"):
            try:
                await self.client.get_workflow_handle(found.id).terminate()
            except RPCError:
                continue

    async def _over(self, row: Row, number: int) -> bool:
        return (await self.revision(row, number)).status.ended

    async def _idle(self, row: Row) -> bool:
        seen = (await self.entity(row.id).describe()).raw_description
        return not (
            seen.pending_children or seen.pending_activities or seen.HasField("pending_workflow_task")
        )


async def until(seen: Callable[[], Awaitable[bool]], limit: float = LIMIT) -> None:
    """Wait for something that only looking shows."""
    async with asyncio.timeout(limit):
        while not await seen():
            await asyncio.sleep(0.02)
