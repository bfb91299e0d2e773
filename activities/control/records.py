"""The control steps over the records: each one transaction, each harmless when it comes twice or late.

A step that finds its deployment or revision gone does nothing: a removal was quicker than a ghost.
"""

from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from activities.control.sweeps import Nudge, Sweep
from records import deployment, drift, image, inventory, line, plane, revision, settle
from records.base import now
from records.deployment import Deployment
from records.event import EventKind, tell
from records.image import BuildOutcome
from records.revision import Revision
from records.session import Sessions
from workflows.accounts import Account, Finder, Notice
from workflows.causes import Cause
from workflows.decide import CONTAINERS
from workflows.shapes import (
    Built,
    Intent,
    Keep,
    Outcome,
    PlaneKind,
    Progress,
    Removed,
    RevisionStatus,
    Swept,
    Wish,
)
from workflows.steps import ControlSteps


class RemovalIncomplete(Exception):
    """A removal was reported while something was left; the record must not forget it."""


class RecordSteps(ControlSteps):
    """Reads intents and writes outcomes.

    `public_url` is where the gateway answers, `urls` where those of other planes do, `kinds` what the planes are made
    of; `patience` is how long a wish may wait before a sweep nudges, `stuck` how long a rollout may stand still,
    `keep_lines` how long log lines stay.
    """

    def __init__(
        self,
        sessions: Sessions,
        *,
        public_url: str,
        nudge: Nudge,
        kinds: Mapping[str, PlaneKind] | None = None,
        urls: Mapping[str, str] | None = None,
        patience: timedelta = timedelta(seconds=30),
        stuck: timedelta = timedelta(minutes=10),
        keep_lines: timedelta = timedelta(days=30),
    ) -> None:
        self._sessions = sessions
        self._public_url = public_url
        self._urls = urls or {}
        self._nudge = nudge
        self._kinds = kinds or {}
        self._sweep = Sweep(sessions, nudge, patience=patience, stuck=stuck, keep_lines=keep_lines)

    @activity.defn
    async def read_intent(self, deployment_id: UUID) -> Intent:
        async with self._sessions.begin() as session:
            return await settle.intent(session, deployment_id, self._kinds)

    @activity.defn
    async def claim(self, wish: Wish) -> None:
        async with self._sessions.begin() as session:
            owner = await deployment.lock(session, wish.deployment_id)
            row = await revision.hold(session, wish.deployment_id, wish.revision_id, wish.number)
            if owner is None or row is None:
                return
            # Also when the revision has ended meanwhile: its rollout may make things before it hears of that.
            await inventory.enter(session, wish, owner.plane)
            await revision.claim(session, row)

    @activity.defn
    async def advance(self, progress: Progress) -> None:
        async with self._sessions.begin() as session:
            row = await revision.hold(session, progress.deployment_id, progress.revision_id, progress.number)
            if row is None:
                return
            moved = await revision.advance(session, row, progress.status, progress.detail)
            if moved and progress.status is RevisionStatus.BUILDING:
                await image.start_build(session, row.id)
            if moved and progress.status is RevisionStatus.AWAITING_BUILD:
                await self._open_log(session, row)

    @activity.defn
    async def record_databases(self, wish: Wish) -> None:
        async with self._sessions.begin() as session:
            owner = await deployment.lock(session, wish.deployment_id)
            if owner is not None:
                await deployment.mark_ready(session, owner)

    @activity.defn
    async def record_image(self, built: Built) -> None:
        async with self._sessions.begin() as session:
            owner = await deployment.lock(session, built.deployment_id)
            row = await session.get(Revision, built.revision_id, populate_existing=True)
            if owner is None or row is None:
                return
            await image.enter(session, built.image, owner.plane)
            if row.status.ended:
                return
            outcome = BuildOutcome.REUSED if built.image.reused else BuildOutcome.BUILT
            if row.image_id != built.image.digest:
                message = f"Image {built.image.digest[:19]} was {outcome} with {built.image.server}."
                if row.source in CONTAINERS:
                    named = row.source_revision_config.get("image_uri")
                    message = f"Image {built.image.digest[:19]} is what {named} names now."
                tell(session, owner.id, EventKind.IMAGE_RECORDED, revision=row.key, message=message)
            row.image_id, row.defaults = built.image.digest, built.image.defaults
            await image.start_build(session, row.id)
            await image.finish_build(session, row.id, outcome, built.image.digest)
            await revision.advance(session, row, RevisionStatus.AWAITING_DEPLOY)

    @activity.defn
    async def record_outcome(self, outcome: Outcome) -> Outcome:
        async with self._sessions.begin() as session:
            row = await revision.hold(session, outcome.deployment_id, outcome.revision_id, outcome.number)
            if row is None:
                return outcome
            if outcome.status is RevisionStatus.SKIPPED and await revision.is_wanted(session, row):
                # Given up by nobody: its deployment's workflow was terminated. The next one takes it on again.
                return outcome
            new = await revision.end(session, row, outcome.status, outcome.cause)
            if row.status is RevisionStatus.DEPLOYED:
                if new:
                    await self._serve(session, row)
            else:
                await inventory.mark_gone(session, row.deployment_id, number=row.number)
                failed = row.status is RevisionStatus.BUILD_FAILED
                end = BuildOutcome.FAILED if failed else BuildOutcome.GIVEN_UP
                await image.finish_build(session, row.id, end)
            known = outcome.model_copy(
                update={
                    "status": row.status,
                    "cause": Cause.model_validate(row.cause) if row.cause else None,
                }
            )
            owner = await deployment.lock(session, outcome.deployment_id)
        if known.status is RevisionStatus.DEPLOYED and owner is not None and owner.custom_url:
            await self._check_door(owner)
        return known

    @activity.defn
    async def record_retired(self, wish: Wish) -> None:
        async with self._sessions.begin() as session:
            if await deployment.lock(session, wish.deployment_id) is None:
                return
            gone = await inventory.mark_gone(session, wish.deployment_id, below=wish.number)
            if gone:
                message = f"{gone} older server processes ended."
                about = (wish.revision_id, wish.number)
                tell(session, wish.deployment_id, EventKind.RETIRED, revision=about, message=message)

    @activity.defn
    async def record_removed(self, removed: Removed) -> None:
        if removed.left:
            names = ", ".join(f"{resource.kind} {resource.name}" for resource in removed.left)
            raise RemovalIncomplete(f"still there: {names}")
        async with self._sessions.begin() as session:
            await deployment.lock(session, removed.deployment_id)
            if await deployment.forget(session, removed.deployment_id):
                await inventory.mark_gone(session, removed.deployment_id)

    @activity.defn
    async def images_to_keep(self, plane: str) -> Keep:
        async with self._sessions.begin() as session:
            return Keep(plane=plane, digests=await image.collect(session, plane))

    @activity.defn
    async def nudge_unattended(self, plane: str) -> Swept:
        return await self._sweep.run(plane)

    @activity.defn
    async def account(self, account: Account) -> None:
        async with self._sessions.begin() as session:
            await drift.account(session, account)

    async def _open_log(self, session: AsyncSession, row: Revision) -> None:
        """Whoever sees that a build is awaited asks for its log at once, maybe never again: the plane's first word
        would come too late."""
        first = line.NewLine(
            kind=line.LogKind.BUILD,
            at=now(),
            message=f"Revision {row.number} was taken on: its source is checked first.",
            stream=f"rollout/{row.id}",
            position=0,
            revision_id=row.id,
        )
        await line.insert_lines(session, row.deployment_id, [first])

    async def _check_door(self, owner: Deployment) -> None:
        """The door was opened as the wish was when its rollout began; a hostname that was set meanwhile made no
        revision, so nobody else would hear of it."""
        async with self._sessions() as session:
            kind = self._kinds.get(owner.plane) or await plane.kind(session, owner.plane)
        if kind is PlaneKind.KUBERNETES:
            await self._nudge.inspect(owner, Notice(by=Finder.WORKFLOW, at=now()))

    async def _serve(self, session: AsyncSession, row: Revision) -> None:
        owner = await deployment.lock(session, row.deployment_id)
        assert owner is not None, "the revision is held, so its deployment is there"
        before = await session.get(Revision, owner.active_revision_id) if owner.active_revision_id else None
        if before is not None and before.number > row.number:
            return
        made_from = await image.get(session, row.image_id, owner.plane) if row.image_id else None
        await deployment.serve(
            session,
            owner,
            row.key,
            url=f"{self._urls.get(owner.plane, self._public_url).rstrip('/')}/d/{owner.slug}",
            image_version=made_from.server if made_from else None,
        )
