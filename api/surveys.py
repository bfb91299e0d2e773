"""What planes say of themselves: all they have, page by page, what came of it, and that they are there."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import structlog
from fastapi import APIRouter

from api.internal import Speaker
from api.needs import House
from api.parts import Parts
from records import plane, survey, workspace
from records.base import now
from records.deployment import Deployment
from workflows.accounts import Finder, Notice
from workflows.surveys import Beat, SurveyPage, Tidings, Verdict

AT_ONCE = 16
ENOUGH = 10.0
"""Seconds for the nudges of one page, for the plane waits for its verdict; the rest is for the next sweep."""
log = structlog.get_logger()

PLACE = "/internal/v1/surveys"
router = APIRouter()


@router.post(PLACE)
async def judge(body: SurveyPage, speaker: Speaker, house: House) -> Verdict:
    """Hold a page against the records, and have looked at what differs."""
    speaker.check(body.plane)
    noticed = now()
    async with house.sessions.begin() as session:
        judged = await survey.judge(session, body, timedelta(seconds=house.settings.orphan_seconds))
        tenants = await workspace.names(session, {row.workspace_id for row in judged.differing})
    told = [(row, tenants.get(row.workspace_id, "")) for row in judged.differing]
    await _inspect(house, told, Notice(by=Finder.SWEEP, at=noticed))
    return judged.verdict


@router.post("/internal/v1/tidings", status_code=204)
async def swept(body: Tidings, speaker: Speaker, house: House) -> None:
    """A sweep has come to its end."""
    speaker.check(body.plane)
    async with house.sessions.begin() as session:
        await plane.swept(session, body.plane, body.sentence)


@router.post("/internal/v1/beats", status_code=204)
async def beat(body: Beat, speaker: Speaker, house: House) -> None:
    """A plane's worker is there."""
    speaker.check(body.plane)
    async with house.sessions.begin() as session:
        gone = await plane.beat(session, body)
    if gone is not None:
        log.info("plane is back", plane=body.plane, away_s=round((now() - gone).total_seconds()))


async def _inspect(house: Parts, told: Sequence[tuple[Deployment, str]], notice: Notice) -> None:
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(row: Deployment, tenant: str) -> None:
        async with turns:
            await house.nudger.inspect(row.id, notice, plane=row.plane, workspace=tenant, name=row.name)

    try:
        async with asyncio.timeout(ENOUGH):
            await asyncio.gather(*(one(row, tenant) for row, tenant in told))
    except TimeoutError:
        log.warning("not every deployment that differs could be told", deployments=len(told))
