"""Deployments that serve and fall ill, for tests of their care: a plane that remembers, records that are a
list, and a clock that can be skipped. What the real records make of accounts is theirs to prove."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

from temporalio import activity
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle
from temporalio.common import TypedSearchAttributes
from temporalio.testing import WorkflowEnvironment

from activities.plane.steps import PortSteps
from dataplane.memory import Memory
from tests.surveys import Nobody
from tests.wishes import a_wish
from tests.workflows.yard import until
from worker.context import StepContext
from worker.notify import Notifier
from worker.queues import control_worker, plane_worker
from workflows import names
from workflows.accounts import Account, Finder, Notice
from workflows.deployment import Deployment
from workflows.mending import State
from workflows.shapes import (
    Built,
    Entity,
    Image,
    Intent,
    Keep,
    Outcome,
    Policy,
    Progress,
    Removed,
    RevisionStatus,
    Swept,
    Wish,
)
from workflows.steps import ControlSteps

Seen = Callable[[], Awaitable[bool]]
LIMIT = 20.0
SOON = timedelta(milliseconds=50)
DIGEST = f"sha256:{'1' * 64}"


class Ledger(ControlSteps):
    """Intents that a test writes, and everything that is accounted for."""

    def __init__(self) -> None:
        self.intents: dict[UUID, Intent] = {}
        self.accounts: list[Account] = []
        self.reads = 0
        self.news = asyncio.Condition()

    @activity.defn
    async def read_intent(self, deployment_id: UUID) -> Intent:
        self.reads += 1
        return self.intents[deployment_id]

    @activity.defn
    async def account(self, account: Account) -> None:
        async with self.news:
            self.accounts.append(account)
            self.news.notify_all()

    @activity.defn
    async def claim(self, wish: Wish) -> None:
        pass

    @activity.defn
    async def advance(self, progress: Progress) -> None:
        pass

    @activity.defn
    async def record_databases(self, wish: Wish) -> None:
        pass

    @activity.defn
    async def record_image(self, built: Built) -> None:
        pass

    @activity.defn
    async def record_outcome(self, outcome: Outcome) -> Outcome:
        """What a rollout ended with serves, as the records would have it."""
        intent = self.intents[outcome.deployment_id]
        if outcome.status is RevisionStatus.DEPLOYED and intent.wanted is not None:
            update = {"wanted": None, "serving": intent.wanted, "active": outcome.number}
            self.intents[outcome.deployment_id] = intent.model_copy(update=update)
        return outcome

    @activity.defn
    async def record_retired(self, wish: Wish) -> None:
        pass

    @activity.defn
    async def record_removed(self, removed: Removed) -> None:
        pass

    @activity.defn
    async def images_to_keep(self, plane: str) -> Keep:
        return Keep(plane=plane, digests=[DIGEST])

    @activity.defn
    async def nudge_unattended(self, plane: str) -> Swept:
        return Swept(deployments=1, nudged=1, sentence="1 deployment, 1 nudged: agent waited 70 s")


class Ward:
    """What a test drives."""

    def __init__(self, client: Client, environment: WorkflowEnvironment | None = None) -> None:
        self.client = client
        self.environment = environment
        self.memory = Memory()
        self.ledger = Ledger()
        self.plane = self.memory.plane()

    @asynccontextmanager
    async def working(self, *, plane: bool = True) -> AsyncIterator[None]:
        control = control_worker(self.client, self.ledger, interceptors=[StepContext()], grace=timedelta(0))
        async with control:
            if not plane:
                yield
                return
            async with self.plane_working():
                yield

    @asynccontextmanager
    async def plane_working(self) -> AsyncIterator[None]:
        """The plane's own worker, which a test may have come and go."""
        steps = PortSteps(self.plane, surveys=Nobody(), notify=Notifier(self.client))
        worker = plane_worker(
            self.client,
            self.plane.name,
            steps,
            interceptors=[StepContext()],
            grace=timedelta(0),
            throttle=SOON,
        )
        async with worker:
            yield

    async def admit(self, **fields: object) -> Wish:
        """A deployment that serves its first revision; its workflow runs and has nothing to do."""
        wish = a_wish(**{"image": DIGEST, **fields})
        memory = self.memory
        memory.images[DIGEST] = Image(
            digest=DIGEST,
            source_digest="source",
            lock_digest="lock",
            server="memory",
            builder="memory",
            python="3.11",
            size=1,
        )
        memory.make_databases(wish)
        for replica in memory.start(wish):
            replica.state, replica.healthy = "running", True
        memory.serving[wish.deployment_id] = wish.number
        self.ledger.intents[wish.deployment_id] = Intent(
            deployment_id=wish.deployment_id,
            name=wish.name,
            workspace="default",
            plane=self.plane.name,
            active=wish.number,
            serving=wish,
        )
        await self.client.start_workflow(
            Deployment.run,
            Entity(deployment_id=wish.deployment_id, plane=self.plane.name),
            id=names.deployment_workflow(wish.deployment_id),
            task_queue=names.CONTROL,
            search_attributes=TypedSearchAttributes([]),
        )
        return wish

    def record(self, wish: Wish, **change: object) -> None:
        """The record says something else from now on."""
        self.ledger.intents[wish.deployment_id] = self.ledger.intents[wish.deployment_id].model_copy(
            update=change
        )

    def policy(self, wish: Wish, policy: Policy) -> None:
        self.record(wish, policy=policy)

    def entity(self, wish: Wish) -> WorkflowHandle[Deployment, None]:
        return self.client.get_workflow_handle_for(
            Deployment.run, names.deployment_workflow(wish.deployment_id)
        )

    async def inspect(self, wish: Wish, by: Finder = Finder.WATCH) -> None:
        await self.entity(wish).signal(Deployment.inspect, Notice(by=by, at=datetime.now(UTC)))

    async def look(self, wish: Wish) -> None:
        await self.entity(wish).signal(Deployment.look)

    async def told(self, state: State, *, after: int = 0, times: int = 1) -> Account:
        """The account that says so, waited for; `after` leaves out the first ones."""
        found: list[Account] = []

        def said() -> bool:
            found[:] = [one for one in self.ledger.accounts[after:] if one.state is state]
            return len(found) >= times

        async with asyncio.timeout(LIMIT), self.ledger.news:
            await self.ledger.news.wait_for(said)
        return found[times - 1]

    @property
    def states(self) -> list[State]:
        return [one.state for one in self.ledger.accounts]

    @property
    def remedies(self) -> list[str]:
        return [str(one.remedy) for one in self.memory.treated]

    async def skip(self, seconds: float) -> None:
        assert self.environment is not None, "only this server's clock can be skipped"
        await self.environment.sleep(timedelta(seconds=seconds))

    async def skip_until(self, seen: Callable[[], bool], step: float = 1.0) -> None:
        """Let time pass until something has come of it."""
        async with asyncio.timeout(LIMIT):
            while not seen():
                await self.skip(step)

    async def pauses(self, wish: Wish) -> list[float]:
        """The timers that its workflow set, in seconds."""
        started = EventType.EVENT_TYPE_TIMER_STARTED
        events = (await self.entity(wish).fetch_history()).events
        return [
            event.timer_started_event_attributes.start_to_fire_timeout.ToTimedelta().total_seconds()
            for event in events
            if event.event_type == started
        ]

    def runs_only(self, wish: Wish, number: int) -> Seen:
        """Whether that revision serves and no other has a server left."""

        async def seen() -> bool:
            there = {one.revision for one in self.memory.replicas[wish.deployment_id].values()}
            return there == {number} and self.memory.serving.get(wish.deployment_id) == number

        return seen

    async def rested(self, wish: Wish) -> None:
        """Wait until its workflow has nothing left to do."""

        async def idle() -> bool:
            seen = (await self.entity(wish).describe()).raw_description
            if seen.pending_children or seen.pending_activities:
                return False
            events = (await self.entity(wish).fetch_history()).events
            return events[-1].event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED

        await until(idle)
