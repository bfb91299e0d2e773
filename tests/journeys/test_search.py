"""The search finds what is there: else its silence would mean nothing."""

import asyncio
import base64
import gzip
import io
import json
import secrets
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.journeys.search import Finding, Search, Watch

VALUE = f"marker{secrets.token_hex(12)}"
OTHER = f"other{secrets.token_hex(13)}"


@pytest.fixture
def search() -> Search:
    return Search({"mine": VALUE})


def tarred(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        info = tarfile.TarInfo("a/.env")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", content)
    return buffer.getvalue()


HIDDEN: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda raw: b"x" + raw + b"y",
    "json": lambda raw: json.dumps({"value": raw.decode()}).encode(),
    "hex": lambda raw: raw.hex().encode(),
    "HEX": lambda raw: raw.hex().upper().encode(),
    "utf-16": lambda raw: raw.decode().encode("utf-16"),
    "base64url": lambda raw: base64.urlsafe_b64encode(b"?>" + raw),
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "tar.gz": tarred,
    "zip": zipped,
    "gzip in a zip in a tar": lambda raw: tarred(zipped(gzip.compress(raw))),
}


@pytest.mark.parametrize("how", HIDDEN)
def test_a_value_is_found_however_it_is_packed(search: Search, how: str) -> None:
    assert list(search.data(HIDDEN[how](VALUE.encode()), "here")), how
    assert not list(search.data(HIDDEN[how](OTHER.encode()), "here")), how


@pytest.mark.parametrize("length", [12, 13, 14, 15, 16, 17])
def test_every_length_is_found_at_every_offset(length: int) -> None:
    value = secrets.token_hex(length)[:length]
    search = Search({"it": value})
    for before in range(4):
        for after in range(4):
            text = base64.b64encode(b"a" * before + value.encode() + b"z" * after)
            assert list(search.data(text, "here")), (before, after)


def test_files_their_names_and_links_are_searched(search: Search, tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "file").write_bytes(gzip.compress(VALUE.encode()))
    (tmp_path / f"x{VALUE}").touch()
    (tmp_path / "link").symlink_to(f"/nowhere/{VALUE}")
    (tmp_path / "clean").write_text(OTHER)
    places = {finding.place.removeprefix(f"{tmp_path}/").split(" ")[0] for finding in search.files(tmp_path)}
    assert places == {"name", "target", "deep/er/file!unpacked"}
    assert not list(Search({"other": "x" * 12}).files(tmp_path))


async def test_every_column_of_every_database_is_searched(
    search: Search, database: str, postgres_admin_dsn: str
) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute(
            "CREATE SCHEMA s; CREATE TABLE s.t (a int, b jsonb, c bytea, d text[], e timestamptz)"
        )
        await connection.execute(
            "INSERT INTO s.t VALUES (1, %s, %s, %s, 'infinity')",
            (json.dumps({"deep": [VALUE]}), gzip.compress(VALUE.encode()), ["x", VALUE]),
        )
        await connection.execute("INSERT INTO s.t VALUES (2, NULL, NULL, NULL, now())")
    found = await search.databases(postgres_admin_dsn)
    assert {finding.place.split("!")[0].rsplit(".", 1)[1] for finding in found} >= {"b", "c", "d"}
    assert all("s.t" in finding.place or "pg_stat_activity" in finding.place for finding in found)


async def test_processes_are_seen_even_if_they_live_only_a_moment(search: Search) -> None:
    async with Watch(search, pause=0.02) as watch:
        while watch.looks < 1:
            await asyncio.sleep(0.01)
        program = [sys.executable, "-c", "import time; time.sleep(0.7)"]
        with (
            subprocess.Popen([*program, VALUE]) as shouting,
            subprocess.Popen(program, env={"A": VALUE}) as told,
        ):
            await asyncio.to_thread(shouting.wait)
            await asyncio.to_thread(told.wait)
    assert Finding("mine", f"{shouting.pid}/cmdline") in watch.found
    assert Finding("mine", f"{told.pid}/environ") in watch.found


def test_too_short_a_value_is_no_marker() -> None:
    with pytest.raises(ValueError, match="too short"):
        Search({"x": "short"})
