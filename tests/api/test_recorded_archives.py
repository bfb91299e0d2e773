"""Archives in the records: whichever api took one in, another that shares no disk with it hands it out."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select

from api.parts import Parts
from records.part import Part
from settings import Settings, UploadStore
from tests.api.conftest import PUBLIC, Yard, built, opened, speaking
from workflows.lines import TOKEN_HEADER

ARCHIVE = b"\x1f\x8b" + b"marker-4711 " * 10 + os.urandom(2_600_000)


@pytest.fixture
async def pair(
    settings: Settings, tmp_path: Path, admit: Callable[[Parts, str], Awaitable[tuple[str, str]]]
) -> AsyncIterator[tuple[Yard, Parts, httpx.AsyncClient]]:
    """An api, and the parts of another with a disk of its own, with a client of that one's internal door."""
    recorded = settings.model_copy(update={"upload_store": UploadStore.RECORDS})
    other = recorded.model_copy(update={"home": tmp_path / "other"})
    async with opened(recorded) as (app, parts), opened(other) as (beside, others):
        workspace_id, secret = await admit(parts, "default")
        plane = httpx.AsyncClient(
            transport=httpx.ASGITransport(beside), base_url=PUBLIC, headers={TOKEN_HEADER: "plane-token"}
        )
        async with speaking(app, secret) as client, plane:
            yield Yard(app, parts, client, workspace_id, secret), others, plane


async def test_another_api_hands_it_out(pair: tuple[Yard, Parts, httpx.AsyncClient]) -> None:
    yard, others, plane = pair
    made = await yard.ok("POST", "/v2/deployments", 201, json=built("agent"))
    path = await yard.upload(made["id"], ARCHIVE)
    upload_id = path.rsplit("/", 1)[1].removesuffix(".tar.gz")
    for _ in range(2):
        answer = await plane.get(f"/internal/v1/sources/{upload_id}")
        assert (answer.status_code, answer.content == ARCHIVE) == (200, True)
    copy = others.settings.home / "uploads" / upload_id
    assert copy.stat().st_mode & 0o777 == 0o600
    assert b"marker-4711" not in copy.read_bytes()
    assert [one.name for one in copy.parent.iterdir()] == [upload_id], "nothing half made stays"


async def test_sent_again_it_is_there_once_and_goes_with_its_deployment(
    pair: tuple[Yard, Parts, httpx.AsyncClient],
) -> None:
    yard, _, plane = pair
    made = await yard.ok("POST", "/v2/deployments", 201, json=built("agent"))
    ticket = await yard.ok("POST", f"/v2/deployments/{made['id']}/upload-url")
    for _ in range(2):
        assert (await yard.client.put(ticket["upload_url"], content=ARCHIVE)).status_code == 200
    other = await yard.client.put(ticket["upload_url"], content=ARCHIVE + b"x")
    assert other.status_code == 409
    count = select(func.count()).select_from(Part)
    async with yard.parts.sessions() as session:
        assert await session.scalar(count) == 3
        assert b"marker-4711" not in b"".join(await session.scalars(select(Part.sealed)))
    upload_id = ticket["object_path"].rsplit("/", 1)[1].removesuffix(".tar.gz")
    assert (await plane.get(f"/internal/v1/sources/{upload_id}")).content == ARCHIVE
    await yard.ok("DELETE", f"/v2/deployments/{made['id']}", 204)
    await yard.ok("DELETE", f"/v2/deployments/{made['id']}?force=true", 204)
    async with yard.parts.sessions() as session:
        assert await session.scalar(count) == 0


async def test_one_that_nobody_has(pair: tuple[Yard, Parts, httpx.AsyncClient]) -> None:
    yard, others, plane = pair
    made = await yard.ok("POST", "/v2/deployments", 201, json=built("agent"))
    path = await yard.upload(made["id"], ARCHIVE)
    async with yard.parts.sessions.begin() as session:
        for one in await session.scalars(select(Part)):
            await session.delete(one)
    upload_id = path.rsplit("/", 1)[1].removesuffix(".tar.gz")
    answer = await plane.get(f"/internal/v1/sources/{upload_id}")
    assert (answer.status_code, "not on disk" in answer.json()["detail"]) == (404, True)
    assert list((others.settings.home / "uploads").iterdir()) == []
