"""Judges of surveys for tests: one that has no opinion, and one that does in process what the api does."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from records import plane, survey
from records.session import Sessions
from worker.nudge import Nudge
from workflows.accounts import Finder, Notice
from workflows.surveys import SurveyPage, Tidings, Verdict


class Nobody:
    """Takes every page and every notice, and makes nothing of them."""

    def __init__(self) -> None:
        self.pages: list[SurveyPage] = []
        self.notices: list[tuple[UUID, Notice]] = []
        self.tidings: list[Tidings] = []

    async def judge(self, page: SurveyPage) -> Verdict:
        self.pages.append(page)
        return Verdict(deployments=len(page.seen))

    async def conclude(self, tidings: Tidings) -> None:
        self.tidings.append(tidings)

    async def hear(self, deployment_id: UUID, notice: Notice) -> None:
        self.notices.append((deployment_id, notice))


class Judge:
    """Holds pages against the records and nudges whom they concern, without the way over the api's socket."""

    def __init__(self, sessions: Sessions, nudge: Nudge, grace: timedelta = timedelta(minutes=10)) -> None:
        self._sessions = sessions
        self._nudge = nudge
        self.grace = grace

    async def judge(self, page: SurveyPage) -> Verdict:
        async with self._sessions.begin() as session:
            judged = await survey.judge(session, page, self.grace)
        for row in judged.differing:
            await self._nudge.inspect(row, Notice(by=Finder.SWEEP, at=datetime.now(UTC)))
        return judged.verdict

    async def conclude(self, tidings: Tidings) -> None:
        async with self._sessions.begin() as session:
            await plane.swept(session, tidings.plane, tidings.sentence)
