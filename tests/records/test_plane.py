"""Planes: there while they beat, away since they were last heard of."""

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from records import plane
from records.base import now
from workflows.surveys import Beat

NEVER = timedelta(hours=1)
AT_ONCE = timedelta(0)


async def test_a_plane_is_known_from_its_first_beat_on(session: AsyncSession) -> None:
    assert await plane.named(session, "local") is None
    assert await plane.beat(session, Beat(plane="local", version="0.2.0")) is None
    row = await plane.named(session, "local")
    assert row is not None
    assert (row.kind, row.version, row.offline_since, row.swept) == ("local", "0.2.0", None, "")
    assert abs(now() - row.seen_at) < timedelta(seconds=5)
    await plane.beat(session, Beat(plane="cluster", kind="kubernetes"))
    assert [row.name for row in await plane.all_of(session)] == ["cluster", "local"]


async def test_a_silent_plane_is_away_since_it_was_last_heard_of(session: AsyncSession) -> None:
    for name in ("one", "two"):
        await plane.beat(session, Beat(plane=name))
    assert await plane.mark_offline(session, now() - NEVER) == []
    assert await plane.mark_offline(session, now() + AT_ONCE) == ["one", "two"]
    assert await plane.mark_offline(session, now() + AT_ONCE) == []
    row = await plane.named(session, "one")
    assert row is not None
    assert row.offline_since == row.seen_at


async def test_a_plane_that_comes_back_says_how_long_it_was_away(session: AsyncSession) -> None:
    await plane.beat(session, Beat(plane="one", version="1"))
    await plane.mark_offline(session, now())
    before = await plane.named(session, "one")
    assert before is not None
    since = before.offline_since
    assert await plane.beat(session, Beat(plane="one", version="2")) == since
    row = await plane.named(session, "one")
    assert row is not None
    assert (row.offline_since, row.version) == (None, "2")
    assert await plane.beat(session, Beat(plane="one", version="2")) is None


async def test_what_the_last_sweep_found(session: AsyncSession) -> None:
    await plane.swept(session, "unknown", "nobody hears this")
    assert await plane.all_of(session) == []
    await plane.beat(session, Beat(plane="one"))
    await plane.swept(session, "one", "412 deployments, none differs")
    await plane.beat(session, Beat(plane="one"))
    row = await plane.named(session, "one")
    assert row is not None
    assert row.swept == "412 deployments, none differs"
    assert row.swept_at is not None
