"""What planes say of themselves: pages are judged and what differs is looked into, beats and sweeps are noted,
silence is noticed. Nobody but a plane is heard."""

import asyncio
from datetime import timedelta
from time import monotonic
from typing import Any
from uuid import UUID

import pytest
import structlog
from structlog.testing import capture_logs

from api import surveys
from api.nudge import Nudger
from api.silence import SILENT, Silence
from records import orphan, plane
from records.base import now
from records.plane import Plane
from records.session import Sessions
from tests.api.accounts import a_loss, account, lost_and_mended
from tests.api.conftest import Yard
from tests.rows import PLANE, a_served
from workflows import names
from workflows.accounts import Finder, Notice
from workflows.drift import PRIMARY, Fact, Field, wanted
from workflows.lines import TOKEN_HEADER
from workflows.shapes import Resource, ResourceKind, Wish
from workflows.surveys import Beat, Seen, SurveyPage

TOKEN = {TOKEN_HEADER: "plane-token"}
SURVEYS, BEATS, TIDINGS = "/internal/v1/surveys", "/internal/v1/beats", "/internal/v1/tidings"


def shown(of: Wish) -> Seen:
    """All is well."""
    facts = [Fact(field=field, name=name, seen=value) for (field, name), value in wanted(of).items()]
    return Seen(short=names.short(of.deployment_id), facts=facts)


def a_page(*seen: Seen) -> dict[str, Any]:
    return SurveyPage(
        plane=PLANE, first="", end=None, looked=sorted(PRIMARY), seen=sorted(seen, key=lambda one: one.short)
    ).model_dump(mode="json")


async def test_what_differs_is_looked_into_and_nothing_else(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[UUID, Notice, dict[str, str]]] = []

    async def inspect(_: Nudger, deployment_id: UUID, notice: Notice, **about: str) -> bool:
        told.append((deployment_id, notice, about))
        return True

    monkeypatch.setattr(Nudger, "inspect", inspect)
    async with yard.parts.sessions.begin() as session:
        _, well = await a_served(session, owner=UUID(yard.workspace_id), name="well")
        ill, lost = await a_served(session, owner=UUID(yard.workspace_id), name="ill")
    stranger = Resource(kind=ResourceKind.PROCESS, name="server-0badda7a-1-0")
    before = now()
    page = a_page(shown(well), Seen(short="0badda7a", resources=[stranger]))
    verdict = await yard.ok("POST", SURVEYS, json=page, headers=TOKEN)
    assert (verdict["deployments"], verdict["differing"], verdict["orphans"]) == (2, 1, 1)
    assert len(verdict["differ"]) == 1
    assert verdict["differ"][0].startswith("ill lost")
    assert verdict["remove"] == []
    ((deployment_id, notice, about),) = told
    assert (deployment_id, notice.by) == (ill.id, Finder.SWEEP)
    assert before <= notice.at <= now()
    assert about == {"plane": PLANE, "workspace": "default", "name": "ill"}
    assert lost.name == "ill"


async def test_orphans_are_entered_and_removed_once_somebody_asked(yard: Yard) -> None:
    left = Resource(kind=ResourceKind.DATABASE, name="gy_gone_0badda7a", holds_data=True)
    page = a_page(Seen(short="0badda7a", resources=[left]))
    for _ in range(2):
        assert (await yard.ok("POST", SURVEYS, json=page, headers=TOKEN))["remove"] == []
    async with yard.parts.sessions() as session:
        (row,) = await orphan.listed(session, PLANE)
    await yard.ok("DELETE", f"/v2/listeners/{PLANE}/orphans/{row.id}", 202)
    assert (await yard.ok("POST", SURVEYS, json=page, headers=TOKEN))["remove"] == [
        left.model_dump(mode="json")
    ]


async def test_a_page_s_verdict_does_not_wait_for_a_temporal_that_hangs(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = most = 0

    async def inspect(*_: Any, **__: Any) -> bool:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        try:
            await asyncio.Event().wait()
        finally:
            at_once -= 1
        return False

    monkeypatch.setattr(Nudger, "inspect", inspect)
    monkeypatch.setattr(surveys, "ENOUGH", 0.3)
    async with yard.parts.sessions.begin() as session:
        for _ in range(surveys.AT_ONCE + 4):
            await a_served(session, owner=UUID(yard.workspace_id))
    began = monotonic()
    verdict = await yard.ok("POST", SURVEYS, json=a_page(), headers=TOKEN)
    assert verdict["differing"] == surveys.AT_ONCE + 4
    assert monotonic() - began < 3
    assert (most, at_once) == (surveys.AT_ONCE, 0)


async def test_a_page_may_be_larger_than_what_callers_send(yard: Yard) -> None:
    words = Fact(field=Field.PROCESS, name="x", seen="dead", evidence="x" * 8000)
    page = a_page(*(Seen(short=f"{number:08x}", facts=[words]) for number in range(700)))
    assert len(str(page)) > 5 << 20
    assert (await yard.ok("POST", SURVEYS, json=page, headers=TOKEN))["deployments"] == 0


async def test_beats_and_tidings_are_noted(yard: Yard) -> None:
    tidings = {"plane": PLANE, "sentence": "1 deployment, none differs"}
    await yard.ok("POST", TIDINGS, 204, json=tidings, headers=TOKEN)
    assert (await yard.ok("GET", f"/v2/listeners/{PLANE}/drift"))["swept"] is None, "nobody knows that plane"
    beat = {"plane": PLANE, "kind": "local", "version": "1"}
    await yard.ok("POST", BEATS, 204, json=beat, headers=TOKEN)
    await yard.ok("POST", TIDINGS, 204, json=tidings, headers=TOKEN)
    told = await yard.ok("GET", f"/v2/listeners/{PLANE}/drift")
    assert told["status"] == "online"
    assert told["swept"]["sentence"] == tidings["sentence"]


@pytest.mark.parametrize("path", [SURVEYS, BEATS, TIDINGS])
async def test_the_door_is_for_planes(yard: Yard, path: str) -> None:
    for headers in ({}, {TOKEN_HEADER: "wrong"}):
        assert "data planes" in await yard.refused("POST", path, 401, json={"plane": PLANE}, headers=headers)
    assert (await yard.client.post(path, json={}, headers=TOKEN)).status_code == 422
    assert (await yard.client.post(f"/api-host{path}", json={}, headers=TOKEN)).status_code == 404


async def seen(sessions: Sessions, name: str = PLANE) -> Plane:
    async with sessions() as session:
        row = await plane.named(session, name)
    assert row is not None
    return row


async def test_silence_is_noticed_once_and_a_word_ends_it(yard: Yard) -> None:
    """By two apis at once."""
    await yard.ok("POST", BEATS, 204, json={"plane": PLANE}, headers=TOKEN)
    listeners = [Silence(yard.parts.sessions) for _ in range(2)]
    later = now() + SILENT + timedelta(seconds=1)
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        noticed = await asyncio.gather(*(one.listen(later) for one in listeners))
        assert sorted(noticed) == [[], [PLANE]]
        assert [await one.listen(later) for one in listeners] == [[], []]
        row = await seen(yard.parts.sessions)
        assert row.offline_since == row.seen_at
        await yard.ok("POST", BEATS, 204, json={"plane": PLANE}, headers=TOKEN)
        await yard.ok("POST", BEATS, 204, json={"plane": PLANE}, headers=TOKEN)
        assert (await seen(yard.parts.sessions)).offline_since is None
    told = [(one["event"], one["plane"]) for one in logs if "plane" in one]
    assert told == [("plane is silent", PLANE), ("plane is back", PLANE)]


async def test_a_plane_that_speaks_is_not_silent(yard: Yard) -> None:
    listener = Silence(yard.parts.sessions)
    async with yard.parts.sessions.begin() as session:
        await plane.beat(session, Beat(plane=PLANE))
    assert await listener.listen(now() + SILENT - timedelta(seconds=1)) == []
    assert (await seen(yard.parts.sessions)).offline_since is None


async def test_nobody_is_silent_to_one_that_did_not_listen(yard: Yard) -> None:
    """After a start, and after the records were away."""
    async with yard.parts.sessions.begin() as session:
        await plane.beat(session, Beat(plane=PLANE))
        row = await session.get_one(Plane, PLANE)
        row.seen_at = now() - timedelta(minutes=5)
    assert await Silence(yard.parts.sessions).listen(now()) == []
    listener = Silence(yard.parts.sessions, silent=timedelta(seconds=0.3), every=0.05)
    task = asyncio.create_task(listener.keep_listening())
    while (await seen(yard.parts.sessions)).offline_since is None:
        assert not task.done()
        await asyncio.sleep(0.02)
    task.cancel()


async def test_gauges_come_from_the_records(yard: Yard) -> None:
    async with yard.parts.sessions.begin() as session:
        _, ill = await a_served(session, owner=UUID(yard.workspace_id))
        _, healed = await a_served(session, owner=UUID(yard.workspace_id))
        await plane.beat(session, Beat(plane=PLANE))
        things = [("0badda7a", Resource(kind=ResourceKind.REDIS, name="redis-0badda7a"))]
        await orphan.enter(session, PLANE, things, first="", end=None)
    await account(yard.parts, ill, a_loss(ill))
    await lost_and_mended(yard.parts, healed, now())
    told = (await yard.client.get("/metrics")).text
    for line in (
        f'graphyard_plane_up{{plane="{PLANE}"}} 1.0',
        f'graphyard_orphans{{plane="{PLANE}"}} 1.0',
        f'graphyard_drift_open{{field="process",plane="{PLANE}"}} 1.0',
        f'graphyard_drift_open{{field="link",plane="{PLANE}"}} 0.0',
        f'graphyard_drift_found{{plane="{PLANE}",window="1h"}} 2.0',
        f'graphyard_drift_repaired{{plane="{PLANE}",window="30d"}} 1.0',
        f'graphyard_drift_detect_seconds{{plane="{PLANE}",quantile="0.95",window="24h"}} 2.0',
        f'graphyard_drift_repair_seconds{{plane="{PLANE}",quantile="0.5",window="24h"}} 10.0',
    ):
        assert line in told, told
    await account(yard.parts, ill)
    async with yard.parts.sessions.begin() as session:
        await plane.mark_offline(session, now())
    told = (await yard.client.get("/metrics")).text
    assert f'graphyard_plane_up{{plane="{PLANE}"}} 0.0' in told
    assert f'graphyard_drift_open{{field="process",plane="{PLANE}"}} 0.0' in told
