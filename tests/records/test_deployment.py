"""Deployments: names, ids, lists, patches, and what a deletion leaves."""

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from records import deployment, event, inventory, line, revision, wish
from records.base import now
from records.deployment import Deleted, Filter, NameTaken
from records.line import LogKind, NewLine
from records.specification import Change
from tests.rows import a_deployment, a_revision, a_workspace, an_upload, wish_of
from workflows.shapes import DeploymentStatus


async def test_a_living_name_is_taken_and_the_transaction_goes_on(session: AsyncSession) -> None:
    first = await a_deployment(session, name="agent")
    with pytest.raises(NameTaken):
        await a_deployment(session, first.workspace_id, name="agent")
    assert await deployment.get(session, first.workspace_id, first.id) is first


async def test_another_workspace_may_have_the_same_name(session: AsyncSession) -> None:
    await a_deployment(session, name="agent")
    await a_deployment(session, name="agent")


async def test_a_name_is_free_as_soon_as_the_deployment_is_off_the_list(session: AsyncSession) -> None:
    first = await a_deployment(session, name="agent")
    await deployment.mark_deleted(session, first.id)
    second = await a_deployment(session, first.workspace_id, name="agent")
    assert [row.id for row in await deployment.page(session, first.workspace_id, Filter())] == [second.id]
    seen = await deployment.get(session, first.workspace_id, first.id)
    assert seen is not None
    assert seen.status is DeploymentStatus.AWAITING_DELETE


async def test_an_id_whose_digits_are_taken_is_not_given_out(session: AsyncSession) -> None:
    first = await a_deployment(session)
    twin = UUID(hex=first.id.hex[:8] + uuid4().hex[8:])
    free = uuid4()
    offered = iter([twin, free])
    assert await deployment.fresh_id(session, lambda: next(offered)) == free
    with pytest.raises(IntegrityError, match="short"):
        await a_deployment(session, deployment_id=twin)


async def test_another_workspace_sees_nothing(session: AsyncSession) -> None:
    row = await a_deployment(session)
    stranger = await a_workspace(session)
    assert await deployment.get(session, stranger.id, row.id) is None
    assert await deployment.page(session, stranger.id, Filter()) == []


FILTERS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("nothing", {}, ["echo-two", "chat", "echo"]),
    ("exact name", {"name": "echo"}, ["echo"]),
    ("part of a name: exact match first", {"name_contains": "echo"}, ["echo", "echo-two"]),
    ("upper case part", {"name_contains": "CHA"}, ["chat"]),
    ("a wildcard is a letter", {"name_contains": "%"}, []),
    ("an underscore too", {"name_contains": "ech_"}, []),
    ("empty part", {"name_contains": ""}, ["echo-two", "chat", "echo"]),
    ("both must hold", {"name": "echo", "name_contains": "chat"}, []),
    ("status", {"status": DeploymentStatus.READY}, ["chat"]),
    ("type", {"deployment_type": "prod"}, ["echo-two"]),
    ("version", {"image_version": "1.2"}, ["chat"]),
    ("url", {"url": "http://here/d/chat"}, ["chat"]),
    ("custom url", {"url": "https://mine.example"}, ["echo"]),
    ("no ids at all", {"deployment_ids": []}, []),
]


@pytest.mark.parametrize(
    ("narrowed", "expected"), [case[1:] for case in FILTERS], ids=[c[0] for c in FILTERS]
)
async def test_lists(session: AsyncSession, narrowed: dict[str, Any], expected: list[str]) -> None:
    owner = (await a_workspace(session)).id
    await a_deployment(session, owner, name="echo", custom_url="https://mine.example")
    chat = await a_deployment(session, owner, name="chat")
    made = await a_revision(session, chat)
    await deployment.serve(session, chat, made.key, url="http://here/d/chat", image_version="1.2")
    await a_deployment(session, owner, name="echo-two", deployment_type="prod")
    found = await deployment.page(session, owner, Filter(**narrowed))
    assert [row.name for row in found] == expected


async def test_pages_and_ids(session: AsyncSession) -> None:
    owner = (await a_workspace(session)).id
    rows = [await a_deployment(session, owner) for _ in range(5)]
    newest_first = [row.id for row in reversed(rows)]
    paged = [
        row.id
        for offset in (0, 2, 4)
        for row in await deployment.page(session, owner, Filter(), limit=2, offset=offset)
    ]
    assert paged == newest_first
    wanted = Filter(deployment_ids=[rows[1].id, rows[3].id, uuid4()])
    assert [row.id for row in await deployment.page(session, owner, wanted)] == [rows[3].id, rows[1].id]
    assert await deployment.page(session, owner, replace(wanted, name="other")) == []


async def test_a_patch_changes_what_it_names_and_tells_no_values(session: AsyncSession) -> None:
    row = await a_deployment(session)
    await deployment.patch(session, row.id, display_name="My Agent", source_config={"build_on_push": True})
    assert row.display_name == "My Agent"
    assert row.source_config == {"deployment_type": "dev", "build_on_push": True}
    *_, told = await event.listed(session, row.id)
    assert told.message == "Changed: display_name, source_config."
    before = row.updated_at
    await deployment.patch(session, row.id, display_name="My Agent")
    assert row.updated_at == before
    assert len(await event.listed(session, row.id)) == 2


async def test_what_is_being_deleted_takes_no_wishes(session: AsyncSession) -> None:
    row = await a_deployment(session)
    await deployment.mark_deleted(session, row.id)
    with pytest.raises(Deleted):
        await deployment.patch(session, row.id, display_name="late")
    with pytest.raises(Deleted):
        await wish.add(session, row.id, Change())
    with pytest.raises(wish.Unknown):
        await wish.add(session, uuid4(), Change())


async def test_deleting_twice_is_deleting_once(session: AsyncSession) -> None:
    row = await a_deployment(session)
    await deployment.mark_deleted(session, row.id)
    first = row.deleted_at
    await deployment.mark_deleted(session, row.id)
    assert row.deleted_at == first
    assert await deployment.mark_deleted(session, uuid4()) is None


async def test_only_what_was_deleted_is_forgotten_and_only_the_inventory_stays(session: AsyncSession) -> None:
    row = await a_deployment(session)
    await an_upload(session, row)
    made = await a_revision(session, row)
    await inventory.enter(session, await wish_of(session, made), row.plane)
    await line.insert_lines(session, row.id, [NewLine(LogKind.BUILD, now(), "hello", "s", 0)])
    assert not await deployment.forget(session, row.id)
    await deployment.mark_deleted(session, row.id)
    assert await deployment.forget(session, row.id)
    session.expunge_all()
    assert await deployment.get(session, row.workspace_id, row.id) is None
    assert await revision.newest(session, row.id) is None
    assert await event.listed(session, row.id) == []
    assert await inventory.listed(session, row.id)


async def test_counts_and_digits(session: AsyncSession) -> None:
    before = (await deployment.counts(session)).get(DeploymentStatus.READY, 0)
    row = await a_deployment(session)
    assert await deployment.mark_ready(session, row)
    assert not await deployment.mark_ready(session, row)
    assert (await deployment.counts(session))[DeploymentStatus.READY] == before + 1
    assert await deployment.by_short(session, [row.short, "ffffffff"]) == {row.short: row.id}
