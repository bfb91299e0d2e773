"""Which images a plane keeps, and what a collection means for those that want one meanwhile."""

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from records import deployment, image, settle, wish
from records.deployment import Deployment
from records.image import KEPT_PER_DEPLOYMENT, BuildOutcome
from records.revision import Revision
from records.session import connect, sessions
from tests.rows import PLANE, a_deployment, a_revision, an_image, ended, wish_of, with_image
from workflows.shapes import RevisionStatus


async def a_built(session: AsyncSession, owner: Deployment) -> Revision:
    return await with_image(session, await a_revision(session, owner))


async def a_deployed(session: AsyncSession, owner: Deployment) -> Revision:
    row = await ended(session, await a_built(session, owner))
    await deployment.serve(session, owner, row.key, url="http://here", image_version=None)
    return row


async def test_the_last_ten_deployed_are_kept(session: AsyncSession) -> None:
    owner = await a_deployment(session)
    rows = [await a_deployed(session, owner) for _ in range(KEPT_PER_DEPLOYMENT + 3)]
    kept = await image.collect(session, PLANE)
    mine = [row.image_id for row in rows]
    assert [digest for digest in mine if digest in kept] == mine[3:]
    assert await image.collect(session, PLANE) == kept


async def test_what_serves_and_what_is_in_flight_is_kept_however_old(session: AsyncSession) -> None:
    owner = await a_deployment(session)
    serving, flying = await a_built(session, owner), await a_built(session, owner)
    await ended(session, serving, RevisionStatus.DEPLOYED)
    for _ in range(KEPT_PER_DEPLOYMENT):
        await a_deployed(session, owner)
    await deployment.serve(session, owner, serving.key, url="http://here", image_version=None)
    assert {serving.image_id, flying.image_id} <= set(await image.collect(session, PLANE))


@pytest.mark.parametrize(
    "end",
    [RevisionStatus.DEPLOY_FAILED, RevisionStatus.SKIPPED, RevisionStatus.INTERRUPTED],
)
async def test_what_never_served_goes(session: AsyncSession, end: RevisionStatus) -> None:
    row = await a_built(session, await a_deployment(session))
    assert row.image_id in await image.collect(session, PLANE)
    await ended(session, row, end)
    assert row.image_id not in await image.collect(session, PLANE)


async def test_planes_are_apart(session: AsyncSession) -> None:
    made = an_image()
    row = await with_image(session, await a_revision(session, await a_deployment(session)), made)
    await image.enter(session, made, "elsewhere")
    assert await image.collect(session, "elsewhere") == []
    assert row.image_id in await image.collect(session, PLANE)


async def test_a_collected_image_that_is_built_again_is_kept_again(session: AsyncSession) -> None:
    made = an_image()
    await image.enter(session, made, PLANE)
    await image.collect(session, PLANE)
    assert not await image.kept(session, made.digest, PLANE)
    await image.enter(session, made, PLANE)
    assert await image.kept(session, made.digest, PLANE)
    assert not await image.kept(session, made.digest, "elsewhere")


async def test_a_wish_made_during_a_collection_does_not_get_what_goes(database: str) -> None:
    """The intent waits for the collection's decision, and then wants a build."""
    engine = connect(database)
    ledger = sessions(engine)
    async with ledger.begin() as session:
        owner = await a_deployment(session)
        old = await a_built(session, owner)
        await ended(session, old, RevisionStatus.DEPLOY_FAILED)
    async with ledger() as collecting:
        assert await image.collect(collecting, PLANE) == []
        async with ledger.begin() as session:
            again = await wish.redeploy(session, owner.id, old.id)
            assert again.image_id == old.image_id

        async def read() -> str | None:
            async with ledger.begin() as session:
                wanted = (await settle.intent(session, owner.id)).wanted
                assert wanted is not None
                return wanted.image

        reading = asyncio.create_task(read())
        async with ledger.begin() as session:
            assert await deployment.get(session, owner.workspace_id, owner.id) is not None
        assert not reading.done()
        await collecting.commit()
    assert await reading is None
    await engine.dispose()


async def test_a_build_is_begun_and_ended_once(session: AsyncSession) -> None:
    row = await a_revision(session, await a_deployment(session))
    await image.finish_build(session, row.id, BuildOutcome.GIVEN_UP)
    assert await image.build_of(session, row.id) is None
    await image.start_build(session, row.id)
    await image.start_build(session, row.id)
    await image.finish_build(session, row.id, BuildOutcome.REUSED, "sha256:1")
    await image.finish_build(session, row.id, BuildOutcome.FAILED)
    build = await image.build_of(session, row.id)
    assert build is not None
    assert (build.outcome, build.reused, build.image_id) == (BuildOutcome.REUSED, True, "sha256:1")
    assert build.finished_at is not None
    assert (await wish_of(session, row)).image is None
