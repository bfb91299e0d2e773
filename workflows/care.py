"""Care: what a deployment's workflow does beside its rollouts, so that what serves stays as its record says.

It begins with a notice that something seems to differ, and ends when nothing does, or nothing is to be done
about it. One look at a time: notices that come meanwhile are one notice. Nothing here makes a revision.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import NamedTuple

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, FailureError, is_cancelled_exception

from workflows.accounts import Account, Finder, Notice, Sighted
from workflows.causes import Code
from workflows.drift import PRIMARY, Difference, compare
from workflows.mending import Course, Repair, State, after_repair, course, remembered
from workflows.rollout import cause_of
from workflows.shapes import Entity, Policy, Wish
from workflows.steps import ControlSteps, PlaneSteps, on_plane, quick
from workflows.trials import Mending

LULL = timedelta(seconds=2)
"""While a repair waits for its time, a thing that flaps is looked at no more often than that."""
LONGEST_REPAIR = timedelta(minutes=30)
ONCE_MORE = RetryPolicy(initial_interval=timedelta(milliseconds=500), maximum_attempts=3)
"""For what passes by itself, or lost its worker; what goes on failing is looked at again before the next try."""


class Seen(NamedTuple):
    """One look."""

    wish: Wish
    policy: Policy
    sighted: Sighted
    differences: list[Difference]


class Care:
    """Of one deployment. `moving` says whether a rollout or a retirement is under way, `changed` is called
    when there is something new to show."""

    def __init__(self, entity: Entity, moving: Callable[[], bool], changed: Callable[[], None]) -> None:
        self.entity = entity
        self.moving = moving
        self.changed = changed
        self.pending: Notice | None = None
        self.task: asyncio.Task[None] | None = None
        self.state: State | None = None
        self.why = ""
        self.used = False
        self.stirred = False
        self.leaving = False
        self.closed = False
        self.under: tuple[int, Policy] | None = None
        self.told: Account | None = None

    @property
    def repairing(self) -> bool:
        """Whether something is being done, or waits for its time."""
        return self.state in (State.REPAIRING, State.BACKING_OFF)

    @property
    def sentence(self) -> str:
        return f"**{self.state}**: {self.why}" if self.state not in (None, State.STEADY) else ""

    def notice(self, notice: Notice) -> None:
        """Look at the plane, now or right after the look that is being taken."""
        self.used = True
        if not self.closed:
            self.pending = earlier(self.pending, notice)
            self.begin()

    def resume(self) -> None:
        """Go on where the run before left off."""
        entity = self.entity
        if entity.noticed_at is not None:
            left = Notice(by=Finder(entity.noticed_by), at=entity.noticed_at)
            entity.noticed_by, entity.noticed_at = "", None
            self.notice(left)

    def heed(self, number: int | None, policy: Policy) -> None:
        """The record was read anew: what it says now may end a pause, or what was given up or only told."""
        if self.under is not None and number is not None and self.under != (number, policy):
            self.under, self.stirred = (number, policy), True
            if self.entity.mending.open:
                self.notice(Notice(by=Finder.WORKFLOW, at=workflow.now()))

    async def renew(self) -> None:
        """Another revision serves: whatever was done for the one before ends, and what was open is looked at
        anew."""
        busy = await self.halt()
        if (busy or self.entity.mending.open) and not self.closed:
            self.notice(Notice(by=Finder.WORKFLOW, at=workflow.now()))

    def close(self) -> None:
        """The deployment is going away: nothing is repaired any more."""
        self.closed, self.pending = True, None
        if self.task is not None:
            self.task.cancel()

    async def end(self) -> None:
        """Nothing is under way after this."""
        self.close()
        await self.halt()

    async def leave(self) -> None:
        """This run of the workflow ends: come to a point where another can go on, and hand it what is left."""
        self.leaving = True
        if self.task is not None:
            await workflow.wait([self.task])

    def hand_over(self) -> None:
        """The last word before the next run, when no handler runs any more."""
        if self.pending is not None:
            self.entity.noticed_by, self.entity.noticed_at = self.pending.by, self.pending.at

    def begin(self) -> None:
        if not self.leaving and (self.task is None or self.task.done()):
            self.task = asyncio.create_task(self.mend())

    async def halt(self) -> bool:
        """End what is under way; whether something was."""
        if self.task is None or self.task.done():
            return False
        self.task.cancel()
        await workflow.wait([self.task])
        self.show(None, "")
        return True

    async def mend(self) -> None:
        """Answer notices until there are none."""
        while self.pending is not None and not (self.closed or self.leaving):
            notice, self.pending = self.pending, None
            try:
                await self.answer(notice)
            except FailureError as error:
                if is_cancelled_exception(error):
                    return
                workflow.logger.warning("the plane could not be looked at", exc_info=error)
                self.show(None, "")

    async def answer(self, notice: Notice) -> None:
        """Look, tell, repair and look again, until nothing is left to do."""
        while True:
            if notice.by is Finder.PERSON:
                self.entity.mending = Mending(open=self.entity.mending.open)
            seen = await self.look()
            if seen is None:
                return
            wish = seen.wish
            self.entity.mending = remembered(
                self.entity.mending, seen.differences, wish.number, workflow.now()
            )
            todo = await self.tell(seen, notice, {})
            while todo.treatments and not self.stopped():
                trouble, expected = await self.repair(wish, todo)
                seen = await self.sight(wish, seen.policy)
                self.entity.mending = after_repair(
                    self.entity.mending,
                    seen.differences,
                    list(todo.treated),
                    workflow.now(),
                    told=expected,
                )
                after = Notice(by=Finder.WORKFLOW, at=seen.sighted.at)
                todo = await self.tell(seen, after, todo.treated, trouble)
            if todo.until is not None:
                await self.pause(todo)
            elif not todo.treatments:
                return
            if self.leaving and self.pending is None:
                self.pending = Notice(by=Finder.WORKFLOW, at=workflow.now())
            if self.stopped():
                return
            waiting, self.pending = self.pending, None
            notice = waiting or Notice(by=Finder.WORKFLOW, at=workflow.now())

    async def look(self) -> Seen | None:
        """At the record, and then at the plane; None if there is nothing to compare."""
        intent = await workflow.execute_activity_method(
            ControlSteps.read_intent, self.entity.deployment_id, **quick("read intent")
        )
        self.stirred = False
        if intent.serving is None:
            self.entity.mending = Mending()
            self.show(None, "")
            return None
        self.under = (intent.serving.number, intent.policy)
        if intent.policy is Policy.PAUSED:
            unseen = Sighted(at=workflow.now(), looked=[], facts=[])
            return Seen(intent.serving, intent.policy, unseen, [])
        return await self.sight(intent.serving, intent.policy)

    async def sight(self, wish: Wish, policy: Policy) -> Seen:
        sighted = await workflow.execute_activity_method(
            PlaneSteps.sight, wish, **on_plane(self.entity.plane, "look at the plane")
        )
        found = compare(wish, sighted.facts, frozenset(sighted.looked), moving=self.moving())
        return Seen(wish, policy, sighted, found)

    async def tell(self, seen: Seen, notice: Notice, treated: Mapping[str, str], trouble: str = "") -> Course:
        """Decide what is to be done, and account for it first."""
        mending, now = self.entity.mending, workflow.now()
        decided = course(seen.differences, mending, seen.policy, now)
        account = Account(
            deployment_id=self.entity.deployment_id,
            revision_id=seen.wish.revision_id,
            number=seen.wish.number,
            notice=notice,
            at=seen.sighted.at,
            differences=seen.differences,
            state=decided.state,
            why=" ".join(part for part in (decided.why, trouble, unseen(seen)) if part),
            treated=dict(treated),
            next_try_at=decided.until,
            looked=sorted({*seen.sighted.looked, *(fact.field for fact in seen.sighted.facts)}),
            rounds=max((one.rounds for one in mending.trials.values() if one.gone_at is None), default=0),
        )
        self.show(decided.state, account.why)
        if not self.is_known(account):
            await workflow.execute_activity_method(
                ControlSteps.account, account, **quick(f"record: {decided.state}")
            )
            self.told = account
        return decided

    def is_known(self, account: Account) -> bool:
        """Whether this is what was said last, while a thing that flaps waits for its next repair."""
        if self.told is None or account.state is not State.BACKING_OFF or account.treated:
            return False
        but = {"notice": account.notice, "at": account.at, "treated": {}, "differences": []}
        keys = [(one.key, one.seen, one.past) for one in account.differences]
        known = [(one.key, one.seen, one.past) for one in self.told.differences]
        return keys == known and account.model_copy(update=but) == self.told.model_copy(update=but)

    async def repair(self, wish: Wish, todo: Course) -> tuple[str, bool]:
        """What went wrong, in a sentence, and whether the plane knew what; most often nothing did."""
        remedies = ", ".join(treatment.remedy for treatment in todo.treatments)
        try:
            await workflow.execute_activity_method(
                PlaneSteps.repair,
                Repair(wish=wish, treatments=todo.treatments),
                **on_plane(self.entity.plane, f"repair: {remedies}", within=LONGEST_REPAIR, retry=ONCE_MORE),
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            cause = cause_of(error)
            return f"The repair failed: {cause}", cause.code is not Code.INTERNAL
        return "", True

    async def pause(self, todo: Course) -> None:
        """Wait for the next repair's time, or for news; a look that news bring shortens no pause."""
        assert todo.until is not None, "only what waits for its time pauses"
        began = workflow.now()
        await self.rest(lambda: self.pending is not None, todo.until - began)
        if self.pending is not None and self.pending.by is not Finder.PERSON:
            await self.rest(self.is_asked, min(began + LULL, todo.until) - workflow.now())

    async def rest(self, news: Callable[[], bool], limit: timedelta) -> None:
        if limit <= timedelta(0):
            return
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: news() or self.stirred or self.stopped(),
                timeout=limit,
                timeout_summary="before the next repair",
            )

    def is_asked(self) -> bool:
        return self.pending is not None and self.pending.by is Finder.PERSON

    def stopped(self) -> bool:
        return self.closed or self.leaving

    def show(self, state: State | None, why: str) -> None:
        self.state, self.why = state, why
        self.changed()


def unseen(seen: Seen) -> str:
    """What could not be looked at: nothing is claimed of it."""
    things = PRIMARY - set(seen.sighted.looked) if seen.policy is not Policy.PAUSED else set()
    return f"Not looked at: {', '.join(sorted(things))}." if things else ""


def earlier(waiting: Notice | None, notice: Notice) -> Notice:
    """Two notices as one: known since the first, and a person's word counts as a person's."""
    if waiting is None:
        return notice
    by = Finder.PERSON if Finder.PERSON in (waiting.by, notice.by) else waiting.by
    return Notice(by=by, at=min(waiting.at, notice.at))
