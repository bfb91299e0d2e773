"""A page of what a plane has, held against the records: what differs, what nobody owns.

A page costs a handful of queries whatever its size, and reads only what comparing needs. Deciding is the
deployments' own: those that may have something to do are named, and their workflows look closer.
"""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from records.deployment import Deployment
from workflows.surveys import SurveyPage, Verdict


@dataclass(frozen=True)
class Judged:
    """What came of a page, and the deployments to be inspected."""

    verdict: Verdict
    differing: list[Deployment]


async def judge(session: AsyncSession, page: SurveyPage, grace: timedelta) -> Judged:
    """Compare a page with the records. `grace` is how long an orphan is only reported."""
    raise NotImplementedError
