"""Judges of surveys for tests: one that has no opinion."""

from uuid import UUID

from workflows.accounts import Notice
from workflows.surveys import SurveyPage, Verdict


class Nobody:
    """Takes every page and every notice, and makes nothing of them."""

    def __init__(self) -> None:
        self.pages: list[SurveyPage] = []
        self.notices: list[tuple[UUID, Notice]] = []

    async def judge(self, page: SurveyPage) -> Verdict:
        self.pages.append(page)
        return Verdict(deployments=len(page.seen))

    async def hear(self, deployment_id: UUID, notice: Notice) -> None:
        self.notices.append((deployment_id, notice))
