"""Looks for values where they must not be: in files, also packed ones, in every column of every database, in
every event of Temporal, and in the words and environments of all processes.

A value is looked for as it is and as base64 (at any offset) and hex would show it, so that an encoding is no
hiding place. What was sealed does not show: that is the point.
"""

import asyncio
import base64
import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.types.string import TextLoader
from temporalio.client import Client

DEEPEST = 4
PACKED: tuple[tuple[bytes, Callable[[bytes], bytes]], ...] = (
    (b"\x1f\x8b", gzip.decompress),
    (b"BZh", bz2.decompress),
    (b"\xfd7zXZ", lzma.decompress),
    (b"\x78\x9c", zlib.decompress),
)


@dataclass(frozen=True, order=True)
class Finding:
    """Which value was seen, and where. Never shows the value."""

    name: str
    place: str


class Search:
    """The values, by name, in all the spellings that are looked for."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._needles = [(name, needle) for name, value in values.items() for needle in spellings(value)]

    def data(self, data: bytes, place: str, depth: int = 0) -> Iterator[Finding]:
        """In bytes, and in what they are packed from."""
        seen = {name for name, needle in self._needles if needle in data}
        yield from (Finding(name, place) for name in sorted(seen))
        if depth < DEEPEST:
            for inner, content in unpacked(data):
                yield from self.data(content, f"{place}!{inner}", depth + 1)

    def files(self, root: Path, since: float = 0.0) -> Iterator[Finding]:
        """In all files below a directory (changed since a moment), and in their names and link targets."""
        # Not rglob: it stumbles over directories that go away under it.
        for top, inner, outer in os.walk(root):
            for name in inner + outer:
                yield from self.file(Path(top, name), since)

    def file(self, path: Path, since: float = 0.0) -> Iterator[Finding]:
        """In one file, its name, and what it links to."""
        try:
            yield from self.data(str(path).encode(), f"name of {path}", DEEPEST)
            if path.is_symlink():
                yield from self.data(str(path.readlink()).encode(), f"target of {path}", DEEPEST)
            elif path.is_file() and path.stat().st_mtime >= since:
                yield from self.data(path.read_bytes(), str(path))
        except (FileNotFoundError, PermissionError, NotADirectoryError):
            return

    async def databases(self, admin_dsn: str) -> list[Finding]:
        """In every column of every table of every database of a server, and in what its catalogs keep."""
        found: list[Finding] = []
        async with await psycopg.AsyncConnection.connect(admin_dsn, autocommit=True) as connection:
            names = await _column(connection, "SELECT datname FROM pg_database WHERE datallowconn")
            for table in ("pg_authid", "pg_db_role_setting", "pg_stat_activity"):
                found += await self._table(connection, "server", "pg_catalog", table)
        for name in names:
            there = psycopg.conninfo.make_conninfo(admin_dsn, dbname=name)
            async with await psycopg.AsyncConnection.connect(there, autocommit=True) as connection:
                rows = await connection.execute(
                    "SELECT table_schema, table_name FROM information_schema.tables"
                    " WHERE table_type = 'BASE TABLE'"
                    " AND table_schema NOT IN ('pg_catalog', 'information_schema')"
                )
                for schema, table in await rows.fetchall():
                    found += await self._table(connection, name, schema, table)
        return found

    async def _table(
        self, connection: psycopg.AsyncConnection[tuple[object, ...]], database: str, schema: str, table: str
    ) -> list[Finding]:
        found: set[Finding] = set()
        query = sql.SQL("SELECT * FROM {}").format(sql.Identifier(schema, table))
        async with connection.cursor() as cursor:
            # Python knows no 'infinity', which a role may be valid until.
            cursor.adapters.register_loader("timestamptz", TextLoader)
            await cursor.execute(query)
            columns = [column.name for column in cursor.description or ()]
            async for row in cursor:
                for column, value in zip(columns, row, strict=True):
                    data = bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
                    found.update(self.data(data, f"{database}: {schema}.{table}.{column}"))
        return sorted(found)

    async def temporal(self, address: str, namespace: str = "default") -> tuple[int, list[Finding]]:
        """In every event of every workflow, running or ended: payloads, memos, summaries, failures. How many
        events that were, and what was found."""
        client = await Client.connect(address, namespace=namespace)
        found: set[Finding] = set()
        events = 0
        async for execution in client.list_workflows():
            place = f"workflow {execution.id} {execution.run_id}"
            found.update(self.data(execution.raw_info.SerializeToString(), place))
            handle = client.get_workflow_handle(execution.id, run_id=execution.run_id)
            described = await handle.describe()
            found.update(self.data(described.raw_description.SerializeToString(), f"{place}: description"))
            async for event in handle.fetch_history_events():
                events += 1
                where = f"{place}: event {event.event_id}"
                found.update(self.data(event.SerializeToString(), where))
        return events, sorted(found)

    def processes(self, spared: Callable[[list[str]], bool] = lambda words: False) -> Iterator[Finding]:
        """In the words and the environment of everything that runs now. A process that is spared, by its
        words, may hold the values in its environment."""
        for pid, words in running():
            yield from self.data("\0".join(words).encode(), f"{pid}/cmdline", DEEPEST)
            if spared(words):
                continue
            try:
                data = Path(f"/proc/{pid}/environ").read_bytes()
            except (FileNotFoundError, PermissionError, ProcessLookupError):
                continue
            # It may have become another program in between: a launcher that turned into a server.
            if spared(_words(pid)):
                continue
            yield from self.data(data, f"{pid}/environ", DEEPEST)


class Watch:
    """Looks at all processes again and again, for those that live only a moment."""

    def __init__(
        self, search: Search, spared: Callable[[list[str]], bool] = lambda words: False, pause: float = 0.1
    ) -> None:
        self._search = search
        self._spared = spared
        self._pause = pause
        self._task: asyncio.Task[None] | None = None
        self.found: set[Finding] = set()
        self.looks = 0

    async def __aenter__(self) -> "Watch":
        self._task = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _look(self) -> None:
        while True:
            self.found.update(await asyncio.to_thread(lambda: list(self._search.processes(self._spared))))
            self.looks += 1
            await asyncio.sleep(self._pause)


def running() -> Iterator[tuple[int, list[str]]]:
    """Every process, with the words it was started with."""
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            yield int(process.name), _words(int(process.name))


def _words(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return []


def spellings(value: str) -> list[bytes]:
    """A value as text, as UTF-16, as hex, and as base64 shows it at each offset, in both alphabets."""
    raw = value.encode()
    if len(raw) < 12:
        raise ValueError("too short a value is found everywhere")
    spelled = {raw, value.encode("utf-16-le"), raw.hex().encode(), raw.hex().upper().encode()}
    for offset in range(3):
        text = base64.b64encode(b"\0" * offset + raw)
        whole = text[(0, 2, 3)[offset] : len(text) - (4 if (offset + len(raw)) % 3 else 0)]
        spelled |= {whole, whole.translate(bytes.maketrans(b"+/", b"-_"))}
    return sorted(spelled)


def unpacked(data: bytes) -> Iterator[tuple[str, bytes]]:
    """What is inside, for the formats that people and programs pack with."""
    for magic, unpack in PACKED:
        if data.startswith(magic):
            try:
                yield "unpacked", unpack(data)
            except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError):
                continue
    if data[257:262] == b"ustar":
        try:
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                for member in tar:
                    if member.isfile() and (file := tar.extractfile(member)):
                        yield member.name, file.read()
        except tarfile.TarError:
            return
    if data.startswith(b"PK\x03\x04"):
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                for info in archive.infolist():
                    yield info.filename, archive.read(info)
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError):
            return


async def _column(connection: psycopg.AsyncConnection[tuple[object, ...]], query: str) -> list[str]:
    rows = await connection.execute(query.encode())
    return [str(row[0]) for row in await rows.fetchall()]
