"""Log lines: known by stream and position, read with a cursor that misses and repeats nothing."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from records import deployment, line
from records.line import BATCH, Line, LogKind, NewLine, Wanted
from records.session import connect, sessions
from tests.plans import blocks
from tests.rows import a_deployment, a_revision

START = datetime(2025, 11, 22, 12, tzinfo=UTC)
REVISION = uuid4()


def lines(count: int, stream: str = "server-1-0", first: int = 0, **fields: Any) -> list[NewLine]:
    values: dict[str, Any] = {"kind": LogKind.DEPLOY, "revision_id": REVISION, **fields}
    return [
        NewLine(
            at=START + timedelta(seconds=number),
            message=f"line {number}",
            stream=stream,
            position=number,
            **values,
        )
        for number in range(first, first + count)
    ]


async def positions(session: AsyncSession, owner: UUID, **wanted: Any) -> list[int]:
    page = await line.page(session, owner, Wanted(**{"kind": LogKind.DEPLOY, **wanted}))
    return [row.position for row in page.lines]


async def test_a_batch_sent_again_changes_nothing(session: AsyncSession) -> None:
    owner = (await a_deployment(session)).id
    assert await line.insert_lines(session, owner, lines(5)) == 5
    assert await line.insert_lines(session, owner, lines(8)) == 3
    assert await line.insert_lines(session, owner, []) == 0
    assert await positions(session, owner) == list(range(8))


async def test_last_words_of_a_removed_deployment_are_dropped(session: AsyncSession) -> None:
    assert await line.insert_lines(session, uuid4(), lines(1)) is None


async def test_a_large_delivery_keeps_its_order(session: AsyncSession) -> None:
    owner = (await a_deployment(session)).id
    assert await line.insert_lines(session, owner, lines(BATCH + 5)) == BATCH + 5
    assert await positions(session, owner, limit=2 * BATCH) == list(range(BATCH + 5))


async def test_what_postgres_cannot_hold_is_replaced(session: AsyncSession) -> None:
    owner = (await a_deployment(session)).id
    odd = NewLine(LogKind.DEPLOY, START, "nul \0 and half a pair \ud800", "s", 0)
    await line.insert_lines(session, owner, [odd])
    page = await line.page(session, owner, Wanted(LogKind.DEPLOY))
    assert page.lines[0].message == "nul \ufffd and half a pair ?"


async def test_forwards_the_cursor_never_ends(session: AsyncSession) -> None:
    owner = (await a_deployment(session)).id
    nothing = await line.page(session, owner, Wanted(LogKind.DEPLOY))
    assert (nothing.lines, nothing.next_offset) == ([], 0)
    await line.insert_lines(session, owner, lines(5))
    seen: list[int] = []
    cursor = nothing.next_offset
    for _ in range(4):
        page = await line.page(session, owner, Wanted(LogKind.DEPLOY, limit=2, offset=cursor))
        seen += [row.position for row in page.lines]
        cursor = page.next_offset
    assert seen == list(range(5))
    await line.insert_lines(session, owner, lines(1, first=5))
    page = await line.page(session, owner, Wanted(LogKind.DEPLOY, offset=cursor))
    assert [row.position for row in page.lines] == [5]


async def test_backwards_it_ends_at_the_beginning(session: AsyncSession) -> None:
    owner = (await a_deployment(session)).id
    await line.insert_lines(session, owner, lines(5))
    seen: list[int] = []
    cursor = None
    while True:
        wanted = Wanted(LogKind.DEPLOY, newest_first=True, limit=2, offset=cursor)
        page = await line.page(session, owner, wanted)
        seen += [row.position for row in page.lines]
        cursor = page.next_offset
        if cursor is None:
            break
    assert seen == [4, 3, 2, 1, 0]


FILTERS: list[tuple[str, dict[str, Any], list[int]]] = [
    ("all of a kind", {}, [0, 1, 2, 3, 4, 5]),
    ("another kind", {"kind": LogKind.BUILD}, [0]),
    ("one revision", {"revision_id": REVISION}, [0, 1, 2, 3]),
    ("a level", {"level": "ERROR"}, [4, 5]),
    ("a part of the message", {"query": "line 3"}, [3]),
    ("a part in another case", {"query": "LINE 3"}, [3]),
    ("this level and graver ones", {"level": "WARNING"}, [4, 5]),
    ("a run's", {"query": "line", "run": "2"}, [2]),
    ("a wildcard is a letter", {"query": "line%"}, []),
    ("from a moment on, inclusive", {"start": START + timedelta(seconds=3)}, [3, 4, 5]),
    ("up to a moment, inclusive", {"end": START + timedelta(seconds=1)}, [0, 1]),
    ("newest first, limited", {"newest_first": True, "limit": 2}, [5, 4]),
]


@pytest.mark.parametrize(
    ("narrowed", "expected"), [case[1:] for case in FILTERS], ids=[c[0] for c in FILTERS]
)
async def test_filters(session: AsyncSession, narrowed: dict[str, Any], expected: list[int]) -> None:
    owner = (await a_deployment(session)).id
    await line.insert_lines(session, owner, lines(4))
    await line.insert_lines(session, owner, lines(2, first=4, level="ERROR", revision_id=uuid4()))
    await line.insert_lines(session, owner, lines(1, stream="build", kind=LogKind.BUILD))
    stranger = (await a_deployment(session)).id
    await line.insert_lines(session, stranger, lines(2, stream="other"))
    assert await positions(session, owner, **narrowed) == expected


async def test_a_page_of_a_deep_log_reads_little_more_than_itself(session: AsyncSession) -> None:
    owner, other = [(await a_deployment(session)).id for _ in range(2)]
    for first in range(0, 20 * BATCH, BATCH):
        await line.insert_lines(session, owner, lines(BATCH, first=first))
    await line.insert_lines(session, other, lines(50, stream="other"))
    await session.execute(text("ANALYZE log_lines"))
    middle = await session.scalar(select(func.max(Line.id) - 10 * BATCH))
    reads = [
        Wanted(LogKind.DEPLOY),
        Wanted(LogKind.DEPLOY, newest_first=True),
        Wanted(LogKind.DEPLOY, offset=middle, limit=1000),
        Wanted(LogKind.DEPLOY, revision_id=REVISION, newest_first=True, offset=middle),
        Wanted(LogKind.DEPLOY, start=START + timedelta(seconds=15 * BATCH)),
        Wanted(LogKind.DEPLOY, end=START + timedelta(seconds=5 * BATCH), newest_first=True),
        Wanted(LogKind.BUILD),
    ]
    for deployment_id in (owner, other):
        for wanted in reads:
            touched = await blocks(session, partial(line.page, session, deployment_id, wanted))
            assert touched < 60, (deployment_id == owner, wanted, touched)


async def test_moments_never_go_back_and_never_lie_ahead(session: AsyncSession) -> None:
    """Else a reader who goes on from the last line's moment misses what arrived late."""
    owner = (await a_deployment(session)).id
    await line.insert_lines(session, owner, lines(2))
    late = NewLine(LogKind.DEPLOY, START - timedelta(hours=1), "late", "other", 0)
    dreamt = NewLine(LogKind.DEPLOY, START + timedelta(days=9999), "dreamt", "other", 1)
    await line.insert_lines(session, owner, [late, dreamt])
    await line.insert_lines(session, owner, lines(1, first=5))
    built = NewLine(LogKind.BUILD, START, "built", "build", 0)
    await line.insert_lines(session, owner, [built])
    rows = (await line.page(session, owner, Wanted(LogKind.DEPLOY))).lines
    assert [row.message for row in rows] == ["line 0", "line 1", "late", "dreamt", "line 5"]
    moments = [row.at for row in rows]
    assert moments == sorted(moments)
    assert moments[2] == moments[1]
    assert moments[-1] <= datetime.now(UTC)
    assert (await line.page(session, owner, Wanted(LogKind.BUILD))).lines[0].at == START


async def test_a_plane_knows_owners_by_short_id_and_number(session: AsyncSession) -> None:
    owner = await a_deployment(session)
    first = await a_revision(session, owner)
    places = {(owner.short, first.number), (owner.short, 99), ("00000000", 1)}
    assert await line.owners(session, places) == {(owner.short, first.number): (owner.id, first.id)}
    assert await line.owners(session, set()) == {}


async def test_lines_past_their_time_go_a_few_at_a_time(session: AsyncSession) -> None:
    owner = (await a_deployment(session)).id
    await line.insert_lines(session, owner, lines(6))
    moment = START + timedelta(seconds=4)
    assert [await line.forget(session, moment, limit=3) for _ in range(3)] == [3, 1, 0]
    assert await positions(session, owner) == [4, 5]


async def test_a_chatty_deployment_keeps_its_newest_lines(
    session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "MOST_KEPT", 50)
    monkeypatch.setattr(line, "TRIM_EVERY", 20)
    quiet = (await a_deployment(session)).id
    await line.insert_lines(session, quiet, lines(5, stream="quiet"))
    owner = (await a_deployment(session)).id
    await line.insert_lines(session, owner, lines(5, stream="build", kind=LogKind.BUILD))
    for first in range(0, 200, 10):
        await line.insert_lines(session, owner, lines(10, first=first))
        kept = await positions(session, owner, limit=1000)
        assert kept[-1] == first + 9
        assert kept == list(range(kept[0], first + 10))
        assert min(first + 10, 50) <= len(kept) <= 50 + 20 + 10
    assert kept[0] > 100
    assert len(await positions(session, quiet)) == 5
    assert len(await positions(session, owner, kind=LogKind.BUILD)) == 5


async def test_a_reader_passes_no_line_that_commits_late(database: str) -> None:
    """Ids are given out before a commit: without the lock the second batch would be read first, and a
    cursor behind it would never see the first one."""
    engine = connect(database)
    ledger = sessions(engine)
    async with ledger.begin() as session:
        owner = (await a_deployment(session)).id
        other = (await a_deployment(session)).id

    async def ship(batch: list[NewLine]) -> None:
        async with ledger.begin() as session:
            await line.insert_lines(session, owner, batch)

    async with ledger() as slow:
        await line.insert_lines(slow, owner, lines(3))
        quick = asyncio.create_task(ship(lines(3, stream="server-1-1")))
        async with ledger.begin() as session:
            assert await line.insert_lines(session, other, lines(1, stream="elsewhere")) == 1
            assert await positions(session, owner) == []
        assert not quick.done()
        await slow.commit()
    await quick
    async with ledger() as session:
        page = await line.page(session, owner, Wanted(LogKind.DEPLOY))
        assert [row.stream for row in page.lines] == 3 * ["server-1-0"] + 3 * ["server-1-1"]
    await engine.dispose()


async def test_lines_come_in_while_a_status_is_written(database: str) -> None:
    engine = connect(database)
    ledger = sessions(engine)
    async with ledger.begin() as session:
        owner = (await a_deployment(session)).id
    async with ledger.begin() as writer:
        await deployment.lock(writer, owner)
        async with ledger.begin() as session:
            assert await asyncio.wait_for(line.insert_lines(session, owner, lines(1)), 5) == 1
    await engine.dispose()
