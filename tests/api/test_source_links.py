"""Addresses for builds: an archive once, to whoever holds one, and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import func, select

from activities.plane.reports import HttpLinks
from records import link
from records.link import Link
from tests.api.conftest import ARCHIVE, PUBLIC, Yard
from workflows.causes import Code, Refused
from workflows.lines import TOKEN_HEADER


@pytest.fixture
async def plane(yard: Yard) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(yard.app)
    headers = {TOKEN_HEADER: "plane-token"}
    async with httpx.AsyncClient(transport=transport, base_url=PUBLIC, headers=headers) as client:
        yield client


@pytest.fixture
async def build(yard: Yard) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody without any token."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(yard.app), base_url=PUBLIC) as client:
        yield client


async def uploaded(yard: Yard) -> UUID:
    made = await yard.create()
    path = await yard.upload(made["id"])
    return UUID(path.rsplit("/", 1)[1].removesuffix(".tar.gz"))


async def kept(yard: Yard) -> int:
    async with yard.parts.sessions() as session:
        return await session.scalar(select(func.count()).select_from(Link)) or 0


async def test_once_and_no_more(yard: Yard, plane: httpx.AsyncClient, build: httpx.AsyncClient) -> None:
    upload_id = await uploaded(yard)
    path = await HttpLinks(plane).link(upload_id)
    async with yard.parts.sessions() as session:
        assert path.rsplit("/", 1)[1] not in str((await session.scalars(select(Link.digest))).all())
    first = await build.get(path)
    assert (first.status_code, first.content) == (200, ARCHIVE)
    again = await build.get(path)
    assert (again.status_code, "leads nowhere" in again.json()["detail"]) == (404, True)
    assert await kept(yard) == 0


async def test_of_many_who_come_at_once_one_is_served(
    yard: Yard, plane: httpx.AsyncClient, build: httpx.AsyncClient
) -> None:
    path = await HttpLinks(plane).link(await uploaded(yard))
    answers = await asyncio.gather(*(build.get(path) for _ in range(8)))
    assert sorted(one.status_code for one in answers) == [200, *[404] * 7]


async def test_not_after_its_time(yard: Yard, plane: httpx.AsyncClient, build: httpx.AsyncClient) -> None:
    upload_id = await uploaded(yard)
    async with yard.parts.sessions.begin() as session:
        late = [await link.issue(session, upload_id, timedelta(seconds=-1)) for _ in range(2)]
    assert (await build.get(f"/internal/v1/links/{late[1]}")).status_code == 404
    await HttpLinks(plane).link(upload_id)
    assert await kept(yard) == 1, "what was not used in time is gone"


async def test_only_planes_ask_and_only_for_what_is_there(
    yard: Yard, plane: httpx.AsyncClient, build: httpx.AsyncClient
) -> None:
    upload_id = await uploaded(yard)
    answer = await build.post(f"/internal/v1/sources/{upload_id}/links")
    assert answer.status_code == 401
    with pytest.raises(Refused) as refused:
        await HttpLinks(plane).link(uuid4())
    assert refused.value.cause.code is Code.SOURCE_MISSING
    assert (await build.get("/internal/v1/links/nonsense")).status_code == 404
    assert await kept(yard) == 0
