"""Lines and sources between a plane and the real api: its socket, its records, and its absences."""

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
import uvicorn
from pydantic import SecretStr

from activities.plane.reports import HttpReports, HttpSources, client, ship
from api.main import create_app
from dataplane.local.logs import Tailer
from records import line, upload
from records.base import now
from records.line import LogKind, Wanted
from records.session import Sessions, connect, sessions
from sealing import FRAME, Keyring
from settings import Settings
from tests.rows import a_deployment, a_revision
from workflows.causes import Code, Refused
from workflows.lines import Line

TOKEN = "a-planes-token"
NOWHERE = "127.0.0.1:9"


class House:
    """A home, its records, and an api that comes and goes."""

    def __init__(self, home: Path, database: str) -> None:
        self.home = home
        keys = home / "sealing.keys"
        Keyring.create(keys)
        self.keyring = Keyring.load(keys)
        self.settings = Settings(
            home=home,
            database_url=SecretStr(database),
            temporal_address=NOWHERE,
            sealing_keys=keys,
            api_socket=home / "api.sock",
            plane_token=SecretStr(TOKEN),
        )
        self.engine = connect(database)
        self.sessions: Sessions = sessions(self.engine)
        self.deployment_id = UUID(int=0)
        self.short = ""

    async def prepare(self) -> None:
        async with self.sessions.begin() as session:
            row = await a_deployment(session)
            await a_revision(session, row)
            self.deployment_id, self.short = row.id, row.short

    @asynccontextmanager
    async def api(self, **changed: object) -> AsyncIterator[None]:
        """The api on its socket, for the length of the block."""
        app = create_app(self.settings.model_copy(update=changed))
        uds = str(self.settings.api_socket)
        server = uvicorn.Server(
            uvicorn.Config(app, uds=uds, log_config=None, access_log=False, timeout_graceful_shutdown=2)
        )
        task = asyncio.create_task(server.serve())
        while not server.started:
            assert not task.done()
            await asyncio.sleep(0.01)
        try:
            yield
        finally:
            server.should_exit = True
            await task
            self.settings.api_socket.unlink(missing_ok=True)

    def plane(self, token: str = TOKEN) -> httpx.AsyncClient:
        return client(self.settings.api_socket, token)

    async def messages(self) -> list[str]:
        async with self.sessions() as session:
            page = await line.page(session, self.deployment_id, Wanted(LogKind.DEPLOY, limit=10_000))
        return [row.message for row in page.lines]

    async def until(self, count: int) -> list[str]:
        """Wait for rows; the records have no bell to wait for."""
        for _ in range(1200):
            found = await self.messages()
            if len(found) >= count:
                return found
            await asyncio.sleep(0.025)
        raise AssertionError(f"{len(found)} of {count} lines arrived")

    def lines(self, first: int, last: int) -> list[Line]:
        start = datetime(2025, 11, 23, tzinfo=UTC)
        return [
            Line(
                deployment=self.short,
                number=1,
                kind="deploy",
                at=start + timedelta(seconds=index),
                level="INFO",
                message=f"line {index}",
                stream="s",
                position=index,
            )
            for index in range(first, last)
        ]

    async def archive(self, content: bytes) -> UUID:
        """An upload as the api keeps it."""
        async with self.sessions.begin() as session:
            row = await upload.issue(session, self.deployment_id, now() + timedelta(hours=1))
            digest = hashlib.sha256(content).hexdigest()
            await upload.store(session, row.id, size=len(content), sha256=digest)
        path = self.stored(row.id)
        path.parent.mkdir(exist_ok=True)
        frames = [content[start : start + FRAME] for start in range(0, len(content), FRAME)]
        path.write_bytes(
            b"".join(self.keyring.seal_frame(part, str(row.id), i) for i, part in enumerate(frames))
        )
        return row.id

    def stored(self, upload_id: UUID) -> Path:
        return self.home / "uploads" / str(upload_id)


@pytest.fixture
async def house(tmp_path: Path, database: str) -> AsyncIterator[House]:
    made = House(tmp_path, database)
    await made.prepare()
    yield made
    await made.engine.dispose()


def impatient(api: httpx.AsyncClient) -> HttpReports:
    return HttpReports(api, first_pause=0.02, longest_pause=0.1)


async def test_lines_arrive_once_however_often_they_are_sent(house: House) -> None:
    async with house.api(), house.plane() as api:
        reports = HttpReports(api)
        assert (await reports.send(house.lines(0, 5))).stored == 5
        taken = await reports.send(house.lines(3, 8))
        assert (taken.stored, taken.known, taken.dropped) == (3, 2, 0)
    assert await house.messages() == [f"line {i}" for i in range(8)]


async def test_an_absent_api_costs_time_only(house: House) -> None:
    async with house.plane() as api:
        sending = asyncio.create_task(impatient(api).send(house.lines(0, 3)))
        await asyncio.sleep(0.3)
        assert not sending.done()
        async with house.api():
            assert (await asyncio.wait_for(sending, 10)).stored == 3


async def test_an_api_with_another_token_is_waited_for(house: House) -> None:
    """A worker may be up before the api knows its token; no line is lost by it."""
    async with house.plane() as api:
        async with house.api(plane_token=SecretStr("another")):
            sending = asyncio.create_task(impatient(api).send(house.lines(0, 3)))
            await asyncio.sleep(0.3)
            assert not sending.done()
        async with house.api():
            await asyncio.wait_for(sending, 10)
    assert len(await house.messages()) == 3


async def test_an_api_without_its_database_is_waited_for(house: House) -> None:
    async with house.plane() as api:
        async with house.api(database_url=SecretStr("postgresql://nobody@127.0.0.1:9/none")):
            sending = asyncio.create_task(impatient(api).send(house.lines(0, 3)))
            await asyncio.sleep(0.3)
            assert not sending.done()
        async with house.api():
            await asyncio.wait_for(sending, 10)
    assert len(await house.messages()) == 3


async def test_one_bad_line_holds_nothing_up(house: House) -> None:
    lines = house.lines(0, 10)
    for index in (3, 4):
        lines[index] = lines[index].model_copy(update={"number": -1})
    async with house.api(), house.plane() as api:
        taken = await HttpReports(api).send(lines)
    assert (taken.stored, taken.dropped) == (8, 2)
    assert await house.messages() == [f"line {i}" for i in (0, 1, 2, 5, 6, 7, 8, 9)]


@asynccontextmanager
async def shipping(house: House) -> AsyncIterator[None]:
    async with house.plane() as api:
        tailer = Tailer(house.home / "logs", house.home / "shipped.json", pause=0.1, half_after=0.3)
        task = asyncio.create_task(ship(tailer, impatient(api)))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def server_log(house: House) -> Path:
    path = house.home / "logs" / "deploy" / house.short / "1-0.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def write(path: Path, first: int, last: int) -> None:
    with path.open("a") as file:
        file.writelines(f"line {index}\n" for index in range(first, last))


async def test_from_a_file_to_the_records_across_absences(house: House) -> None:
    """The api and the tailer come and go in turn, the file rotates: every line is there once, in order."""
    log = server_log(house)
    write(log, 0, 100)
    async with shipping(house):
        async with house.api():
            await house.until(100)
            write(log, 100, 200)
            await house.until(200)
        write(log, 200, 1500)
        log.rename(log.with_name(log.name + ".1"))
        write(log, 1500, 1600)
        await asyncio.sleep(0.3)
    write(log, 1600, 1700)
    async with house.api():
        async with shipping(house):
            await house.until(600)
        async with shipping(house):
            found = await house.until(1700)
    assert found == [f"line {i}" for i in range(1700)]


async def test_a_flood_reaches_the_records(
    house: House, record_property: Callable[[str, object], None]
) -> None:
    """The figure is for the whole way: file, tailer, socket, api, Postgres."""
    count = 20_000
    write(server_log(house), 0, count)
    async with house.api():
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with shipping(house):
            while await newest(house) != f"line {count - 1}":
                assert loop.time() - began < 40
                await asyncio.sleep(0.05)
        took = loop.time() - began
    record_property("lines per second", round(count / took))
    print(f"\n{count:,} lines from file to row in {took:.2f} s: {count / took:,.0f} a second")


async def newest(house: House) -> str:
    async with house.sessions() as session:
        wanted = Wanted(LogKind.DEPLOY, newest_first=True, limit=1)
        lines = (await line.page(session, house.deployment_id, wanted)).lines
    return lines[0].message if lines else ""


async def test_lines_of_a_removed_deployment_hold_nothing_up(house: House) -> None:
    gone = house.home / "logs" / "deploy" / "ffffffff" / "1-0.log"
    gone.parent.mkdir(parents=True)
    write(gone, 0, 50)
    write(server_log(house), 0, 5)
    async with house.api(), shipping(house):
        assert await house.until(5) == [f"line {i}" for i in range(5)]


# -- sources -------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, FRAME, 3 * FRAME + 17])
async def test_a_source_comes_as_it_was_uploaded(house: House, size: int) -> None:
    content = os.urandom(size)
    upload_id = await house.archive(content)
    target = house.home / "source.tar.gz"
    async with house.api(), house.plane() as api:
        await HttpSources(api).fetch(upload_id, target)
    assert target.read_bytes() == content
    assert content not in house.stored(upload_id).read_bytes()


async def refused(house: House, upload_id: UUID) -> str:
    async with house.api(), house.plane() as api:
        with pytest.raises(Refused) as caught:
            await HttpSources(api).fetch(upload_id, house.home / "source")
    assert caught.value.cause.code is Code.SOURCE_MISSING
    assert list(house.home.glob("source*")) == []
    return caught.value.cause.message


async def test_an_unknown_source_is_refused(house: House) -> None:
    upload_id = uuid4()
    assert str(upload_id) in await refused(house, upload_id)


async def test_a_source_that_was_never_stored_is_refused(house: House) -> None:
    async with house.sessions.begin() as session:
        row = await upload.issue(session, house.deployment_id, now() + timedelta(hours=1))
    assert "never uploaded" in await refused(house, row.id)


async def test_a_source_whose_file_is_gone_is_refused(house: House) -> None:
    upload_id = await house.archive(b"content")
    house.stored(upload_id).unlink()
    assert "not on disk" in await refused(house, upload_id)


async def test_a_source_sealed_with_a_lost_key_is_refused(house: House) -> None:
    upload_id = await house.archive(b"content")
    house.settings.sealing_keys.unlink()
    Keyring.create(house.settings.sealing_keys)
    assert "keys here" in await refused(house, upload_id)


@pytest.mark.parametrize("damage", ["cut", "flipped"])
async def test_a_damaged_source_is_never_taken_for_a_whole_one(house: House, damage: str) -> None:
    upload_id = await house.archive(os.urandom(3 * FRAME))
    sealed = bytearray(house.stored(upload_id).read_bytes())
    if damage == "cut":
        del sealed[2 * (len(sealed) // 3) :]
    else:
        sealed[-5] ^= 1
    house.stored(upload_id).write_bytes(sealed)
    async with house.api(), house.plane() as api:
        with pytest.raises(httpx.HTTPError):
            await HttpSources(api).fetch(upload_id, house.home / "source")


async def test_an_absent_api_is_not_a_missing_source(house: House) -> None:
    async with house.plane() as api:
        with pytest.raises(httpx.ConnectError):
            await HttpSources(api).fetch(uuid4(), house.home / "source")
