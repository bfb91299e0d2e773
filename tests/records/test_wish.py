"""Wishes: what a new revision carries over, what it changes, and when an image does again."""

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from records import event, revision, wish
from records.event import EventKind
from records.specification import Change, Environment
from tests.rows import a_deployment, a_revision, an_image, an_upload, claimed, ended, with_image
from workflows.shapes import Flavour, RevisionStatus, SourceKind

OTHER = Environment("other environment")


async def test_numbers_follow_one_another_and_the_deployment_points_to_the_last(
    session: AsyncSession,
) -> None:
    owner = await a_deployment(session)
    rows = [await wish.add(session, owner.id, Change()) for _ in range(3)]
    assert [row.number for row in rows] == [1, 2, 3]
    assert owner.latest_revision_id == rows[-1].id
    assert {row.status for row in rows} == {RevisionStatus.CREATING}
    kinds = [told.kind for told in await event.listed(session, owner.id)]
    assert kinds == [EventKind.DEPLOYMENT_CREATED] + 3 * [EventKind.REVISION_CREATED]


async def test_the_first_revision_starts_from_what_the_deployment_was_made_with(
    session: AsyncSession,
) -> None:
    owner = await a_deployment(
        session,
        environment=Environment("sealed", Flavour.INMEM, custom_postgres=True),
        source_config={"deployment_type": "dev", "resource_spec": {"min_scale": 2}},
        secret_references=[{"name": "A", "secret_name": "b", "secret_key": "c"}],
    )
    row = await a_revision(session, owner)
    assert row.source_config == {"resource_spec": {"min_scale": 2}}
    assert (row.environment, row.flavour, row.custom_postgres) == ("sealed", Flavour.INMEM, True)
    assert row.secret_references == [{"name": "A", "secret_name": "b", "secret_key": "c"}]


async def test_nulls_keep_and_resource_spec_is_replaced_whole(session: AsyncSession) -> None:
    owner = await a_deployment(session)
    first = {"resource_spec": {"min_scale": 2, "cpu": 1}, "install_command": "make"}
    await wish.add(session, owner.id, Change(source_config=first, tracked_packages=["a:1"]))
    second = {"resource_spec": {"min_scale": 3}, "install_command": None}
    row = await wish.add(session, owner.id, Change(source_config=second))
    assert row.source_config == {"resource_spec": {"min_scale": 3}, "install_command": "make"}
    assert owner.source_config == {"deployment_type": "dev", **row.source_config}
    assert row.tracked_packages == ["a:1"]


CARRIED: list[tuple[str, dict[str, Any], bool]] = [
    ("nothing changed", {}, True),
    ("other secrets", {"environment": OTHER}, True),
    ("other resources", {"source_config": {"resource_spec": {"min_scale": 2}}}, True),
    (
        "the same config path again",
        {"source_revision_config": {"langgraph_config_path": "langgraph.json"}},
        True,
    ),
    ("another config path", {"source_revision_config": {"langgraph_config_path": "b/langgraph.json"}}, False),
    ("an install command", {"source_config": {"install_command": "make"}}, False),
    ("a build command", {"source_config": {"build_command": "make"}}, False),
    ("another flavour", {"environment": Environment("e", Flavour.INMEM)}, False),
    ("another source", {"source": SourceKind.INTERNAL_DOCKER}, False),
    ("an image address", {"source_revision_config": {"image_uri": "r/i@sha256:1"}}, False),
]


@pytest.mark.parametrize(("change", "carried"), [case[1:] for case in CARRIED], ids=[c[0] for c in CARRIED])
async def test_an_image_does_again_unless_a_build_would_differ(
    session: AsyncSession, change: dict[str, Any], carried: bool
) -> None:
    owner = await a_deployment(session)
    first = await with_image(session, await a_revision(session, owner), an_image(defaults="sealed defaults"))
    second = await wish.add(session, owner.id, Change(**change))
    assert (second.image_id, second.defaults) == (
        (first.image_id, "sealed defaults") if carried else (None, None)
    )


async def test_a_new_archive_is_built(session: AsyncSession) -> None:
    owner = await a_deployment(session)
    first = await with_image(session, await a_revision(session, owner))
    second = await a_revision(session, owner)
    assert second.image_id is None
    assert second.upload_id not in {None, first.upload_id}


async def test_another_source_forgets_the_old_ones_keys_and_archive(session: AsyncSession) -> None:
    owner = await a_deployment(session)
    await a_revision(session, owner)
    pushed = Change(source=SourceKind.INTERNAL_DOCKER, source_revision_config={"image_uri": "r/i:1"})
    row = await wish.add(session, owner.id, pushed)
    assert (row.source_revision_config, row.upload_id) == ({"image_uri": "r/i:1"}, None)
    kept = await wish.add(session, owner.id, Change(environment=OTHER))
    assert (kept.source, kept.source_revision_config) == (SourceKind.INTERNAL_DOCKER, {"image_uri": "r/i:1"})


async def test_secrets_after_a_failed_build_still_want_the_new_archive(session: AsyncSession) -> None:
    owner = await a_deployment(session)
    await ended(session, await with_image(session, await a_revision(session, owner)))
    broken = await a_revision(session, owner)
    await ended(session, broken, RevisionStatus.BUILD_FAILED)
    row = await wish.add(session, owner.id, Change(environment=OTHER))
    assert (row.upload_id, row.image_id) == (broken.upload_id, None)


async def test_a_redeploy_brings_every_value_back(session: AsyncSession) -> None:
    owner = await a_deployment(session)
    archive = await an_upload(session, owner)
    old = await a_revision(
        session,
        owner,
        upload_id=archive.id,
        source_config={"resource_spec": {"min_scale": 2}},
        environment=Environment("old", Flavour.INMEM, custom_redis=True),
        tracked_packages=["a:1"],
    )
    await ended(session, await with_image(session, old, an_image(defaults="d")))
    newer = {"resource_spec": {"min_scale": 1}, "install_command": "make", "build_on_push": True}
    await a_revision(session, owner, source_config=newer, environment=OTHER, tracked_packages=["a:2"])
    again = await wish.redeploy(session, owner.id, old.id)
    assert again.number == 3
    same = (
        "source",
        "source_config",
        "source_revision_config",
        "environment",
        "flavour",
        "custom_redis",
        "tracked_packages",
        "upload_id",
        "image_id",
        "defaults",
    )
    for column in same:
        assert getattr(again, column) == getattr(old, column), column
    assert owner.environment == "old"
    assert owner.source_config == {
        "deployment_type": "dev",
        "build_on_push": True,
        "resource_spec": {"min_scale": 2},
    }


async def test_a_redeploy_of_a_stranger_is_unknown(session: AsyncSession) -> None:
    mine, other = await a_deployment(session), await a_deployment(session)
    strange = await a_revision(session, other)
    for revision_id in (strange.id, uuid4()):
        with pytest.raises(wish.Unknown):
            await wish.redeploy(session, mine.id, revision_id)
        with pytest.raises(wish.Unknown):
            await wish.interrupt(session, mine.id, revision_id)


async def test_asking_for_an_end_is_noted_once_and_ends_nothing_yet(session: AsyncSession) -> None:
    owner = await a_deployment(session)
    row = await claimed(session, await a_revision(session, owner))
    await wish.interrupt(session, owner.id, row.id)
    asked = row.interrupt_requested_at
    assert asked is not None
    await wish.interrupt(session, owner.id, row.id)
    assert row.interrupt_requested_at == asked
    assert row.status is RevisionStatus.QUEUED
    kinds = [told.kind for told in await event.listed(session, owner.id)]
    assert kinds.count(EventKind.REVISION_INTERRUPT) == 1


async def test_an_ended_revision_cannot_be_interrupted(session: AsyncSession) -> None:
    owner = await a_deployment(session)
    row = await ended(session, await a_revision(session, owner))
    assert (await wish.interrupt(session, owner.id, row.id)).interrupt_requested_at is None


async def test_pages_of_revisions(session: AsyncSession) -> None:
    owner = await a_deployment(session)
    rows = [await wish.add(session, owner.id, Change()) for _ in range(3)]
    await ended(session, rows[0], RevisionStatus.BUILD_FAILED)
    assert [row.number for row in await revision.page(session, owner.id)] == [3, 2, 1]
    assert [row.number for row in await revision.page(session, owner.id, limit=1, offset=1)] == [2]
    failed = await revision.page(session, owner.id, statuses=[RevisionStatus.BUILD_FAILED])
    assert [row.number for row in failed] == [1]
    assert await revision.by_number(session, owner.id, [2, 9]) == {2: rows[1].id}
    stranger = await a_deployment(session)
    assert await revision.get(session, stranger.id, rows[0].id) is None


async def test_an_image_that_is_named_once_more_may_be_another(session: AsyncSession) -> None:
    owner = await a_deployment(session, source=SourceKind.EXTERNAL_DOCKER)
    named = Change(source_revision_config={"image_uri": "r/i:latest"})
    first = await with_image(session, await wish.add(session, owner.id, named))
    kept = await wish.add(session, owner.id, Change(environment=OTHER))
    assert kept.image_id == first.image_id
    again = await wish.add(session, owner.id, named)
    assert again.image_id is None
    assert (await wish.redeploy(session, owner.id, first.id)).image_id == first.image_id
