"""Deployment: one workflow per deployment, for all its life.

It knows almost nothing. It looks at the record, decides, acts, and waits to be nudged: no timers, so an idle
deployment costs nothing. While a rollout is in flight it keeps looking, so that a newer wish, an interrupt or
a deletion is heard at once. Whatever becomes of a child, the entity goes on. What serves meanwhile is taken
care of beside all that (see `care`).
"""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.exceptions import ChildWorkflowError, FailureError, WorkflowAlreadyStartedError
from temporalio.workflow import ChildWorkflowHandle, ParentClosePolicy

from workflows import names
from workflows.accounts import Notice
from workflows.care import Care
from workflows.collection import collect
from workflows.decide import Act, Decision, decide
from workflows.removal import Removal
from workflows.rollout import Rollout
from workflows.shapes import Entity, Intent, Launch, Outcome, Phase, RevisionStatus, Wish
from workflows.steps import ControlSteps, PlaneSteps, on_plane, quick

FIRST_PAUSE = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(minutes=5)


@workflow.defn
class Deployment:
    """One deployment, from its first revision to its removal."""

    @workflow.init
    def __init__(self, entity: Entity) -> None:
        self.entity = entity
        self.nudged = True
        self.rollout: ChildWorkflowHandle[Rollout, Outcome] | None = None
        self.rolling: int | None = None
        self.given_up = False
        self.lost = 0
        self.following: asyncio.Task[None] | None = None
        self.outdone: Wish | None = None
        self.retiring: asyncio.Task[None] | None = None
        self.phase: Phase | None = None
        self.last = ""
        self.decision: Decision | None = None
        self.care = Care(entity, self.moving, self.show)

    @workflow.run
    async def run(self, entity: Entity) -> None:
        self.care.resume()
        while not await self.settle():
            await workflow.wait_condition(lambda: self.nudged or self.full())
            if self.rolling is None and workflow.info().is_continue_as_new_suggested():
                await self.finish_retiring()
                await self.care.leave()
                await workflow.wait_condition(workflow.all_handlers_finished)
                self.care.hand_over()
                workflow.continue_as_new(self.entity)
        await workflow.wait_condition(workflow.all_handlers_finished)

    @workflow.signal
    def look(self) -> None:
        """Something changed on record; the record says what."""
        self.nudged = True

    @workflow.signal
    def inspect(self, notice: Notice) -> None:
        """Something seems to differ on the plane; the plane shows what."""
        self.care.notice(notice)

    def moving(self) -> bool:
        """Whether servers of more than one revision are as it should be."""
        return self.rolling is not None or (self.retiring is not None and not self.retiring.done())

    def full(self) -> bool:
        """Whether looks at the plane alone have filled this run's history: no nudge may ever come."""
        full = self.care.used and self.rolling is None
        return full and workflow.info().is_continue_as_new_suggested()

    async def settle(self) -> bool:
        """Take one look and act on it; true once nothing is left to keep."""
        self.nudged = False
        intent = await workflow.execute_activity_method(
            ControlSteps.read_intent, self.entity.deployment_id, **quick("read intent")
        )
        decision = self.decision = decide(intent, self.rolling, self.given_up)
        self.show()
        self.care.heed(intent.serving.number if intent.serving else None, intent.policy)
        if intent.deleted:
            self.care.close()
        match decision.act:
            case Act.ROLL_OUT:
                assert intent.wanted is not None, "a rollout is decided for a wish"
                await self.roll_out(intent, intent.wanted)
            case Act.GIVE_UP:
                self.give_up()
            case Act.REMOVE:
                await self.care.end()
                await self.finish_retiring(soon=True)
                return await self.remove(intent)
            case Act.LEAVE:
                await self.care.end()
                await self.finish_retiring(soon=True)
                return True
            case Act.WAIT | Act.REST:
                pass
        return False

    async def roll_out(self, intent: Intent, wish: Wish) -> None:
        """Start a rollout and follow it beside later looks."""
        self.entity.rollouts += 1
        try:
            child = await workflow.start_child_workflow(
                Rollout.run,
                Launch(wish=wish, plane=intent.plane, workspace=intent.workspace, kind=intent.kind),
                id=names.rollout_workflow(intent.deployment_id, wish.number, self.lost + 1),
                static_summary=f"revision {wish.number}: {wish.image[:19] if wish.image else wish.source}",
                search_attributes=attributes(wish.name, RevisionStatus.QUEUED),
                parent_close_policy=ParentClosePolicy.REQUEST_CANCEL,
            )
        except WorkflowAlreadyStartedError as error:
            # Of a deployment workflow that was terminated: its rollout is still winding down.
            await self.pause("an earlier rollout still runs", error)
            return
        self.rollout, self.rolling, self.given_up = child, wish.number, False
        self.following = asyncio.create_task(self.follow(child, wish))

    async def follow(self, child: ChildWorkflowHandle[Rollout, Outcome], wish: Wish) -> None:
        """Wait for a rollout's end, then look again: the record may want something else by now."""
        try:
            outcome = await child
        except ChildWorkflowError as error:
            self.rollout, self.rolling = None, None
            await self.pause("the rollout was lost", error)
        else:
            self.rollout, self.rolling, self.lost = None, None, 0
            self.last = f"Revision {outcome.number} ended **{outcome.status}**."
            if outcome.status is RevisionStatus.DEPLOYED:
                await self.care.renew()
                self.retire(wish)
        self.nudged = True

    def give_up(self) -> None:
        """Ask the rollout to end. Past its switch it will not; either way its end is awaited."""
        self.given_up = True
        if self.rollout is not None:
            self.rollout.cancel()

    def retire(self, wish: Wish) -> None:
        """Drain what is older, in the background: runs may take minutes, and the next rollout must not wait.
        What is outdone meanwhile again waits for its turn; only the newest counts."""
        self.outdone = wish
        if self.retiring is None or self.retiring.done():
            self.retiring = asyncio.create_task(self.drain())

    async def drain(self) -> None:
        while self.outdone is not None:
            wish, self.outdone = self.outdone, None
            try:
                if wish.number > 1:
                    await workflow.execute_activity_method(
                        PlaneSteps.retire, wish, **on_plane(self.entity.plane, "retire older servers")
                    )
                    await workflow.execute_activity_method(
                        ControlSteps.record_retired, wish, **quick("record retirement")
                    )
                    await collect(self.entity.plane)
            except FailureError as error:
                workflow.logger.warning("older replicas were not retired", exc_info=error)

    async def finish_retiring(self, soon: bool = False) -> None:
        """Let the background end; `soon` when everything is going away, so that no drain is waited for."""
        if self.retiring is None:
            return
        if soon:
            self.outdone = None
            self.retiring.cancel()
        await workflow.wait([self.retiring])
        self.retiring = None

    async def remove(self, intent: Intent) -> bool:
        """Take everything away; a removal that was lost is begun again."""
        try:
            await workflow.execute_child_workflow(
                Removal.run,
                intent,
                id=names.removal_workflow(intent.deployment_id),
                static_summary=f"remove {intent.name}",
                search_attributes=attributes(intent.name, Phase.REMOVING),
                parent_close_policy=ParentClosePolicy.ABANDON,
            )
        except (ChildWorkflowError, WorkflowAlreadyStartedError) as error:
            await self.pause("the removal was lost", error)
            return False
        workflow.set_current_details("Removed; nothing is left of it.")
        return True

    async def pause(self, what: str, error: BaseException) -> None:
        """Before trying again what should not have happened: longer each time, unless nudged."""
        workflow.logger.warning(what, exc_info=error)
        pause = min(FIRST_PAUSE * 2 ** min(self.lost, 10), LONGEST_PAUSE)
        self.lost += 1
        try:
            await workflow.wait_condition(lambda: self.nudged, timeout=pause, timeout_summary=what)
        except TimeoutError:
            self.nudged = True

    def show(self) -> None:
        if self.decision is None:
            return
        said = (self.decision.why, self.last, self.care.sentence)
        workflow.set_current_details(" ".join(part for part in said if part))
        phase = PHASES.get(self.decision.act)
        if phase is Phase.RESTING and self.care.repairing:
            phase = Phase.REPAIRING
        if phase is not None and phase is not self.phase:
            self.phase = phase
            workflow.upsert_search_attributes([names.PHASE.value_set(phase)])


PHASES = {Act.ROLL_OUT: Phase.ROLLING_OUT, Act.REST: Phase.RESTING, Act.REMOVE: Phase.REMOVING}


def attributes(name: str, phase: str) -> TypedSearchAttributes:
    """A child is found by the same words as its deployment."""
    pairs = [SearchAttributePair(names.NAME, name), SearchAttributePair(names.PHASE, phase)]
    if tenant := workflow.info().typed_search_attributes.get(names.TENANT):
        pairs.append(SearchAttributePair(names.TENANT, tenant))
    return TypedSearchAttributes(pairs)
