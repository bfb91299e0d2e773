"""Rollout: one revision, up or given up, with its ending on record.

Until the switch it can be given up at any moment: what it started is taken back, and the revision that
served goes on serving. From the switch on callers may have met the new revision, so there is no way back.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, FailureError, is_cancelled_exception

from workflows import names
from workflows.causes import Cause, Code
from workflows.decide import CONTAINERS, refusal
from workflows.shapes import Built, Launch, Outcome, Plan, Progress, RevisionStatus, Wish
from workflows.steps import ControlSteps, PlaneSteps, on_plane, quick
from workflows.story import Story
from workflows.together import side_by_side, to_the_end

Argument = TypeVar("Argument")
Result = TypeVar("Result")

GIVEN_UP = Cause(
    code=Code.SUPERSEDED,
    message="It was given up before it served: a newer revision came, or the deployment was deleted.",
)


@workflow.defn
class Rollout:
    """One revision, from its claim to its outcome."""

    @workflow.init
    def __init__(self, launch: Launch) -> None:
        self.plane = launch.plane
        self.wish = launch.wish
        self.story = Story(f"Revision {self.wish.number} of {self.wish.name} on plane {self.plane}")
        self.applied = False
        self.failed: RevisionStatus | None = None

    @workflow.run
    async def run(self, launch: Launch) -> Outcome:
        if (cause := refusal(self.wish, self.plane, launch.kind)) is not None:
            return await to_the_end(self.refuse(cause))
        try:
            await self.bring_up()
        except (FailureError, asyncio.CancelledError) as error:
            return await to_the_end(self.take_back(error))
        return await to_the_end(self.put_in_charge())

    async def bring_up(self) -> None:
        """All that can be given up: the new replicas run and have proved themselves; nobody meets them."""
        await self.control(ControlSteps.claim, self.wish, "claim")
        await side_by_side(self.make_image(), self.make_databases())
        with self.fails_as(RevisionStatus.DEPLOY_FAILED):
            await self.advance(RevisionStatus.DEPLOYING)
            self.applied = True
            await self.do(PlaneSteps.apply, "start servers")
            await self.do(PlaneSteps.await_ready, "wait until ready")
            await self.do(PlaneSteps.prove, "prove")

    async def make_image(self) -> None:
        """A revision that carries an image over is not built; the plane still confirms that it has it. Of an image
        that somebody else built it finds the digest: no build, so none of its statuses."""
        found = self.wish.source in CONTAINERS
        with self.fails_as(RevisionStatus.DEPLOY_FAILED if found else RevisionStatus.BUILD_FAILED):
            if self.wish.image is None and not found:
                await self.advance(RevisionStatus.AWAITING_BUILD)
                plan: Plan = await self.do(PlaneSteps.preflight, "preflight")
                await self.advance(RevisionStatus.BUILDING, f"Building {', '.join(plan.graphs)}.")
            verb = "confirm image" if self.wish.image else "find image" if found else "build"
            image = await self.do(PlaneSteps.build, verb)
            built = Built(
                deployment_id=self.wish.deployment_id, revision_id=self.wish.revision_id, image=image
            )
            await self.control(ControlSteps.record_image, built, "record image")
            self.wish = self.wish.model_copy(update={"image": image.digest, "defaults": image.defaults})

    async def make_databases(self) -> None:
        with self.fails_as(RevisionStatus.DEPLOY_FAILED):
            await self.do(PlaneSteps.provision, "provision")
            await self.control(ControlSteps.record_databases, self.wish, "record databases")

    async def put_in_charge(self) -> Outcome:
        """Traffic goes to the new replicas, and the record says so."""
        try:
            with self.fails_as(RevisionStatus.DEPLOY_FAILED):
                await self.do(PlaneSteps.switch, "switch", stoppable=False)
        except FailureError as error:
            return await self.take_back(error)
        return await self.record(RevisionStatus.DEPLOYED)

    async def take_back(self, error: BaseException) -> Outcome:
        """Leave nothing half-made; databases stay, for they are the deployment's."""
        if self.applied:
            try:
                await self.do(PlaneSteps.discard, "take servers back", stoppable=False)
            except FailureError as trouble:
                workflow.logger.warning("replicas were not taken back", exc_info=trouble)
        if is_cancelled_exception(error) or workflow.cancellation_reason() is not None:
            return await self.record(RevisionStatus.SKIPPED, GIVEN_UP)
        return await self.record(self.failed or RevisionStatus.DEPLOY_FAILED, cause_of(error))

    async def refuse(self, cause: Cause) -> Outcome:
        """End what this kind of plane can never run, before anything is made; what is older was overtaken."""
        await self.control(ControlSteps.claim, self.wish, "claim", stoppable=False)
        return await self.record(RevisionStatus.CREATE_FAILED, cause)

    async def record(self, status: RevisionStatus, cause: Cause | None = None) -> Outcome:
        outcome = await self.control(
            ControlSteps.record_outcome,
            Outcome(
                deployment_id=self.wish.deployment_id,
                revision_id=self.wish.revision_id,
                number=self.wish.number,
                status=status,
                cause=cause,
            ),
            "record outcome",
            stoppable=False,
        )
        self.story.end(f"**{outcome.status}**" + (f": {outcome.cause}" if outcome.cause else ""))
        self.show(outcome.status)
        return outcome

    async def advance(self, status: RevisionStatus, detail: str = "") -> None:
        progress = Progress(
            deployment_id=self.wish.deployment_id,
            revision_id=self.wish.revision_id,
            number=self.wish.number,
            status=status,
            detail=detail,
        )
        await self.control(ControlSteps.advance, progress, f"record {status}")
        if status is not RevisionStatus.AWAITING_BUILD:
            self.show(status)

    async def control(
        self,
        step: Callable[[ControlSteps, Argument], Awaitable[Result]],
        argument: Argument,
        verb: str,
        *,
        stoppable: bool = True,
    ) -> Result:
        """A step over the records; the story passes over it."""
        result = await workflow.execute_activity_method(step, argument, **quick(verb))
        if stoppable:
            stop_if_asked()
        return result

    async def do(
        self, step: Callable[[PlaneSteps, Wish], Awaitable[Result]], verb: str, *, stoppable: bool = True
    ) -> Result:
        """A step on the plane, told in the story."""
        self.story.begin(verb, workflow.now())
        self.show()
        try:
            result = await workflow.execute_activity_method(step, self.wish, **on_plane(self.plane, verb))
        except (FailureError, asyncio.CancelledError):
            self.story.broke(verb, workflow.now())
            raise
        self.story.done(verb, workflow.now())
        if stoppable:
            stop_if_asked()
        return result

    def show(self, status: RevisionStatus | None = None) -> None:
        workflow.set_current_details(str(self.story))
        if status is not None:
            workflow.upsert_search_attributes([names.PHASE.value_set(status)])

    @contextmanager
    def fails_as(self, status: RevisionStatus) -> Iterator[None]:
        """What the revision becomes if something within fails of itself."""
        try:
            yield
        except FailureError as error:
            if not is_cancelled_exception(error):
                self.failed = self.failed or status
            raise


def stop_if_asked() -> None:
    """A step that succeeded although it was asked to end has swallowed the request; nobody repeats it."""
    if workflow.cancellation_reason() is not None:
        raise asyncio.CancelledError


def cause_of(error: BaseException) -> Cause:
    """The cause that travelled as the detail of a refusal; anything else is our own trouble."""
    inner = error.cause if isinstance(error, ActivityError) else error
    if isinstance(inner, ApplicationError) and inner.type in set(Code) and inner.details:
        return Cause.model_validate(inner.details[0])
    return Cause(code=Code.INTERNAL, message=f"A step failed unexpectedly: {inner or error}.")
