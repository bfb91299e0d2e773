"""What tests of the control steps wish for, say and look up."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from records.deployment import Deployment
from records.revision import Revision
from tests.rows import a_revision, wish_of
from workflows.accounts import Notice
from workflows.causes import Cause
from workflows.shapes import Outcome, Progress, RevisionStatus, Wish


class Nobody:
    """Nothing is to be nudged here."""

    async def __call__(self, row: Deployment) -> None:
        raise AssertionError(row.name)

    async def inspect(self, row: Deployment, notice: Notice) -> None:
        raise AssertionError(row.name)

    async def alive(self, row: Deployment) -> bool:
        raise AssertionError(row.name)


async def a_wish(session: AsyncSession, owner: Deployment, **change: Any) -> Wish:
    row = await a_revision(session, owner, **change)
    await session.commit()
    return await wish_of(session, row)


async def status(session: AsyncSession, of: Wish) -> RevisionStatus:
    return (await row_of(session, of)).status


async def row_of(session: AsyncSession, of: Wish) -> Revision:
    return await session.get_one(Revision, of.revision_id, populate_existing=True)


async def fresh(session: AsyncSession, owner: Deployment) -> Deployment:
    return await session.get_one(Deployment, owner.id, populate_existing=True)


def outcome(of: Wish, end: RevisionStatus, cause: Cause | None = None) -> Outcome:
    return Outcome(
        deployment_id=of.deployment_id, revision_id=of.revision_id, number=of.number, status=end, cause=cause
    )


def progress(of: Wish, to: RevisionStatus, detail: str = "") -> Progress:
    return Progress(
        deployment_id=of.deployment_id, revision_id=of.revision_id, number=of.number, status=to, detail=detail
    )
