"""What a plane says of itself to the real api: that it is there, all it has, and what came of it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from activities.plane.reports import HttpSurveys, Unwelcome, beat
from records import plane
from records.plane import Plane
from tests.activities.plane.test_reports import House
from workflows.drift import Field
from workflows.surveys import Beat, Seen, SurveyPage, Tidings

PAGE = SurveyPage(plane="local", first="", end=None, looked=[Field.PROCESS], seen=[Seen(short="0badc0de")])


@pytest.fixture
async def house(tmp_path: Path, database: str) -> AsyncIterator[House]:
    made = House(tmp_path, database)
    await made.prepare()
    yield made
    await made.engine.dispose()


async def known(house: House) -> Plane | None:
    async with house.sessions() as session:
        return await plane.named(session, "local")


async def until_seen(house: House, after: datetime) -> Plane:
    async with asyncio.timeout(10):
        while True:
            found = await known(house)
            if found is not None and found.seen_at > after:
                return found
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def beating(api: httpx.AsyncClient, every: float) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(beat(api, Beat(plane="local", version="1"), every))
    yield task
    task.cancel()
    await asyncio.wait([task])


async def test_a_plane_is_there_as_long_as_it_beats_whatever_becomes_of_the_api(house: House) -> None:
    began = datetime.now(UTC)
    async with house.plane() as client, beating(client, 0.1) as task:
        await asyncio.sleep(0.3)
        assert await known(house) is None
        async with house.api():
            assert (await until_seen(house, began)).version == "1"
        await asyncio.sleep(0.3)
        again = datetime.now(UTC)
        async with house.api():
            await until_seen(house, again)
        assert not task.done()


async def test_a_page_is_judged(house: House) -> None:
    async with house.api(), house.plane() as client:
        surveys = HttpSurveys(client)
        verdict = await surveys.judge(PAGE)
        assert (verdict.deployments, verdict.differing) == (1, 0)
        await surveys.conclude(Tidings(plane="local", sentence="1 deployment, none differs"))


async def test_an_api_that_restarts_is_waited_for(house: House) -> None:
    async with house.plane() as client:
        judging = asyncio.create_task(HttpSurveys(client, pause=0.05).judge(PAGE))
        await asyncio.sleep(0.3)
        assert not judging.done()
        async with house.api():
            assert (await judging).deployments == 1


async def test_one_that_stays_away_is_not(house: House) -> None:
    async with house.plane() as client:
        surveys = HttpSurveys(client, patience=0.2, pause=0.05)
        with pytest.raises(ConnectionError):
            await surveys.judge(PAGE)
        await surveys.conclude(Tidings(plane="local", sentence="nobody hears this"))


async def test_a_page_that_is_not_understood_is_not_sent_twice(house: House) -> None:
    async with house.api(), house.plane() as client:
        wrong = PAGE.model_copy(update={"looked": ["taste"]})
        with pytest.warns(UserWarning, match="serialize"), pytest.raises(Unwelcome):
            await HttpSurveys(client).judge(wrong)
