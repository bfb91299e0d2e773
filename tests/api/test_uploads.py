"""Archives through the door: sealed, whole or not at all, and only with a ticket."""

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from api.parts import Parts
from api.tickets import Tickets
from api.tidy import tidy
from records.upload import Upload, UploadState
from settings import Settings
from tests.api.conftest import ARCHIVE, Yard
from tests.api.served import served

LIST = "/v2/deployments"
LARGE = b"\x1f\x8b" + os.urandom(2_600_000)


async def _ticket(yard: Yard, path: str = "") -> tuple[str, str]:
    made = await yard.create(f"agent-{uuid4().hex[:6]}")
    ticket = await yard.ok(
        "POST", f"{path}{LIST}/{made['id']}/upload-url", json={"supports_upload_headers": True}
    )
    return ticket["upload_url"], ticket["object_path"]


async def _row(yard: Yard) -> Upload:
    async with yard.parts.sessions() as session:
        return (await session.scalars(select(Upload))).one()


def _folder(yard: Yard) -> Path:
    return yard.parts.settings.home / "uploads"


async def test_an_archive_arrives_whole_and_is_sealed_on_disk(yard: Yard) -> None:
    marker = b"\x1f\x8b" + b"marker-4711 " * 150_000
    url, path = await _ticket(yard)
    stored = (await yard.client.put(url, content=marker, headers={"Content-Type": "application/gzip"})).json()
    row = await _row(yard)
    digest = hashlib.sha256(marker).hexdigest()
    assert stored == {"size": len(marker), "sha256": digest}
    assert (row.state, row.size, row.sha256, row.object_path) == (
        UploadState.STORED,
        len(marker),
        digest,
        path,
    )
    file = _folder(yard) / str(row.id)
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"marker-4711" not in file.read_bytes()
    with file.open("rb") as sealed:
        assert b"".join(yard.parts.keyring.open_frames(sealed, str(row.id))) == marker
    assert yard.parts.meters.uploaded.collect()


async def test_a_body_of_unknown_length_is_fine(yard: Yard) -> None:
    url, _ = await _ticket(yard)

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(LARGE), 65_537):
            yield LARGE[start : start + 65_537]

    assert (await yard.client.put(url, content=chunks())).json()["size"] == len(LARGE)


async def test_one_byte_at_a_time_is_fine(yard: Yard) -> None:
    url, _ = await _ticket(yard)

    async def chunks() -> AsyncIterator[bytes]:
        for byte in ARCHIVE:
            yield bytes([byte])

    assert (await yard.client.put(url, content=chunks())).status_code == 200


async def test_the_same_again_is_welcome_and_another_is_not(yard: Yard) -> None:
    url, _ = await _ticket(yard)
    assert {(await yard.client.put(url, content=ARCHIVE)).status_code for _ in range(3)} == {200}
    said = await yard.refused("PUT", url, 409, content=ARCHIVE + b"more")
    assert "upload-url" in said
    row = await _row(yard)
    with (_folder(yard) / str(row.id)).open("rb") as sealed:
        assert b"".join(yard.parts.keyring.open_frames(sealed, str(row.id))) == ARCHIVE


@pytest.mark.parametrize(
    ("status", "says", "content"),
    [
        (400, "empty", b""),
        (400, "not a gzip", b"P"),
        (400, "not a gzip", b"PK\x03\x04 a zip"),
        (400, "not a gzip", b"x" * 2_000_000),
        (413, "3,145,728", b"\x1f\x8b" + b"x" * (3 << 20)),
    ],
)
@pytest.mark.parametrize("announced", [True, False])
async def test_what_is_no_archive_leaves_nothing(
    yard: Yard, status: int, says: str, content: bytes, announced: bool
) -> None:
    url, _ = await _ticket(yard)

    async def chunks() -> AsyncIterator[bytes]:
        yield content

    assert says in await yard.refused("PUT", url, status, content=content if announced else chunks())
    assert list(_folder(yard).iterdir()) == []
    assert (await _row(yard)).state is UploadState.ISSUED


async def test_the_address_authorises_itself_and_nothing_else(yard: Yard) -> None:
    url, _ = await _ticket(yard)
    bare, query = url.split("?")
    later = int(time.time()) + 7200
    for wrong in (
        bare,
        f"{bare}?{query[:-1]}",
        f"{bare}?{query[:-1]}{'0' if query[-1] != '0' else '1'}",
        f"{bare}?expires={later}&{query.split('&')[1]}",
        f"{bare}?expires=x&signature=y",
        f"{bare}?expires={'9' * 40}&signature=y",
        f"{bare}?expires=%C2%B2&signature=%C3%A9",
        f"{bare.rsplit('/', 1)[0]}/{uuid4()}?{query}",
    ):
        await yard.refused("PUT", wrong, 403, content=ARCHIVE)
    answer = await yard.client.put(url, content=ARCHIVE, headers={"X-Api-Key": ""})
    assert answer.status_code == 200


async def test_a_ticket_ends(yard: Yard) -> None:
    tickets = yard.parts.tickets
    upload_id, past = uuid4(), datetime.now(UTC) - timedelta(seconds=2)
    url = f"/v2/uploads/{upload_id}?{tickets.query(upload_id, past)}"
    assert "has expired" in await yard.refused("PUT", url, 403, content=ARCHIVE)


async def test_a_ticket_outlives_a_rotation_and_a_restart(settings: Settings) -> None:
    upload_id, later = uuid4(), datetime.now(UTC) + timedelta(minutes=1)
    query = Tickets.load(settings.sealing_keys).query(upload_id, later)
    with settings.sealing_keys.open("a") as keys:
        keys.write("newer 0000000000000000000000000000000000000000000=\n")
    fields = dict(part.split("=") for part in query.split("&"))
    Tickets.load(settings.sealing_keys).check(upload_id, fields["expires"], fields["signature"])


async def test_an_archive_for_a_deployment_that_is_gone_is_refused(yard: Yard) -> None:
    url, path = await _ticket(yard)
    deployment = path.split("/")[1]
    await yard.ok("DELETE", f"{LIST}/{deployment}", 204)
    await yard.ok("DELETE", f"{LIST}/{deployment}?force=true", 204)
    assert "gone" in await yard.refused("PUT", url, 404, content=ARCHIVE)
    assert list(_folder(yard).iterdir()) == []


@pytest.mark.parametrize(
    ("prefix", "headers", "base"),
    [
        ("", {}, "http://yard.test/v2"),
        ("/api-host", {}, "http://yard.test/api-host/v2"),
        ("", {"Host": "localhost:9999"}, "http://localhost:9999/v2"),
        ("/api-host", {"Host": "[::1]:9999"}, "http://[::1]:9999/api-host/v2"),
        ("", {"Host": "evil.test/path?"}, "http://yard.test/v2"),
    ],
)
async def test_the_address_leads_the_way_the_caller_came(
    yard: Yard, prefix: str, headers: dict[str, str], base: str
) -> None:
    made = await yard.create("agent")
    ticket = await yard.ok("POST", f"{prefix}{LIST}/{made['id']}/upload-url", headers=headers)
    assert ticket["upload_url"].startswith(f"{base}/uploads/")


async def test_an_upload_that_breaks_off_leaves_nothing(
    settings: Settings, admit: Callable[[Parts, str], Awaitable[tuple[str, str]]]
) -> None:
    async with served(settings) as api:
        _, key = await admit(api.parts, "default")
        yard = Yard.at(api.app, api.url, key)
        url, _ = await _ticket(yard)
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        head = f"PUT {url.removeprefix(api.url)} HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n"
        writer.write(head.encode() + LARGE[:1_500_000])
        await writer.drain()
        folder = settings.home / "uploads"
        while not list(folder.iterdir()):
            await asyncio.sleep(0.01)
        writer.close()
        while list(folder.iterdir()):
            await asyncio.sleep(0.01)
        assert reader is not None
        assert (await _row(yard)).state is UploadState.ISSUED
        assert (await yard.client.put(url, content=ARCHIVE)).status_code == 200
        await yard.client.aclose()


async def test_tidying_takes_only_what_no_row_knows(yard: Yard) -> None:
    url, _ = await _ticket(yard)
    await yard.client.put(url, content=ARCHIVE)
    kept, folder = str((await _row(yard)).id), _folder(yard)
    for name in (str(UUID(int=1)), "notes.txt"):
        (folder / name).write_bytes(b"left")
    assert await tidy(folder, yard.parts.sessions) == 0
    assert await tidy(folder, yard.parts.sessions, fresh=-1) == 1
    assert sorted(path.name for path in folder.iterdir()) == sorted([kept, "notes.txt"])


async def test_a_start_clears_what_an_earlier_process_left_unfinished(yard: Yard) -> None:
    left = _folder(yard) / f"{uuid4()}.partial-0123"
    left.write_bytes(b"half")
    yard.parts.storage.prepare()
    assert not left.exists()
