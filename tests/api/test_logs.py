"""Logs at the door: what the CLI, the Go client and the newer spellings ask, while lines keep coming."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from records.base import now
from records.revision import Revision
from settings import Settings
from tests.api.conftest import Yard, speaking
from tests.api.desk import PLANE, START, Desk, opened_desk
from tests.api.served import served
from workflows.shapes import RevisionStatus

LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


@pytest.fixture
async def desk(yard: Yard) -> Desk:
    return await opened_desk(yard)


async def test_lines_come_out_as_clients_expect_them(desk: Desk) -> None:
    assert await desk.ship(desk.sent(0), desk.sent(1, level="ERROR")) == {
        "stored": 2,
        "known": 0,
        "dropped": 0,
    }
    assert await desk.ship(desk.sent(1), desk.sent(2)) == {"stored": 1, "known": 1, "dropped": 0}
    page = await desk.read()
    first, second, _ = page["logs"]
    assert first == {
        "id": first["id"],
        "timestamp": int(START.timestamp() * 1000),
        "level": "INFO",
        "message": "line 0",
        "revision_id": desk.revision,
        "replica": "0",
    }
    assert second["level"] == "ERROR"
    assert isinstance(first["id"], str)
    assert page["next_offset"] == page["logs"][-1]["id"]


READS: list[tuple[dict[str, Any], list[int]]] = [
    ({}, list(range(10))),
    ({"order": "asc", "limit": 3}, [0, 1, 2]),
    ({"order": "desc", "limit": 3}, [9, 8, 7]),
    ({"order": "DESC", "limit": 1}, [9]),
    ({"limit": 5000}, list(range(10))),
    ({"limit": None, "order": None, "offset": None, "level": None}, list(range(10))),
    ({"offset": ""}, list(range(10))),
    ({"level": "DEBUG"}, list(range(10))),
    ({"level": "WARNING"}, [2, 3, 4, 7, 8, 9]),
    ({"level": "error"}, [3, 4, 8, 9]),
    ({"level": "FATAL"}, [4, 9]),
    ({"query": "line 4"}, [4]),
    ({"query": "LINE 4"}, [4]),
    ({"query": "%"}, []),
    ({"query": ""}, list(range(10))),
    ({"query": "line", "level": "CRITICAL", "order": "desc"}, [9, 4]),
    ({"start_time": "2025-11-23T01:00:07.123Z"}, [7, 8, 9]),
    ({"start_time": "2025-11-23T01:00:07.124Z"}, [8, 9]),
    ({"start_time": "2025-11-23T03:00:08.123+02:00"}, [8, 9]),
    ({"start_time": "2025-11-23T01:00:08.123"}, [8, 9]),
    ({"end_time": "2025-11-23T01:00:01.123Z"}, [0, 1]),
    ({"end_time": "2025-11-23T01:00:01.122Z"}, [0]),
    ({"start_time": "2025-11-23T01:00:04Z", "end_time": "2025-11-23T01:00:06Z", "order": "desc"}, [5, 4]),
    ({"start_time": "2099-01-01"}, []),
    ({"surprise": 1}, list(range(10))),
]


async def test_what_narrows_and_orders_a_log(desk: Desk) -> None:
    await desk.ship(*(desk.sent(i, level=LEVELS[i % 5]) for i in range(10)))
    await desk.ship(desk.sent(0, kind="build", replica=None, stream="build", message="built"))
    for body, expected in READS:
        assert await desk.messages(**body) == [f"line {i}" for i in expected], body
    assert await desk.messages(desk.build) == ["built"]
    of_revision = f"/v1/projects/{desk.id}/revisions/{desk.revision}/deploy_logs"
    assert await desk.messages(of_revision, limit=1) == ["line 0"]
    bare = await desk.yard.client.post(desk.deploy)
    assert len(bare.json()["logs"]) == 10


BAD: list[dict[str, Any]] = [
    {"limit": 0},
    {"limit": -1},
    {"limit": "many"},
    {"order": "up"},
    {"offset": "x"},
    {"offset": "-1"},
    {"offset": "9" * 30},
    {"offset": [1]},
    {"offset": True},
    {"level": "LOUD"},
    {"level": ""},
    {"query": "a\0b"},
    {"query": "x" * 5000},
    {"query": 5},
    {"start_time": "yesterday"},
    {"end_time": "2025-13-01T00:00:00Z"},
    {"start_time": "0001-01-01T00:00:00+14:00"},
]


async def test_bad_questions_are_422(desk: Desk) -> None:
    for body in BAD:
        answer = await desk.yard.client.post(desk.deploy, json=body)
        assert answer.status_code == 422, (body, answer.text)
        assert answer.json()["detail"][0]["loc"][-1] == next(iter(body)), body
    queries: list[dict[str, str]] = [
        {},
        {"type": "x"},
        {"type": "build", "limit": "0"},
        {"type": "build", "limit": "1001"},
    ]
    for params in queries:
        answer = await desk.yard.client.get(f"/v2/deployments/{desk.id}/logs", params=params)
        assert answer.status_code == 422, params
    for params in (
        {},
        {"deployment_id": desk.id, "page_size": 101},
        {"deployment_id": desk.id, "log_type": "X"},
    ):
        answer = await desk.yard.client.get("/v2/deployment-logs", params=params)
        assert answer.status_code == 422, params


async def test_unknown_and_foreign_ids_are_404(desk: Desk, admit: Any) -> None:
    stranger = uuid4()
    paths = [
        f"/v1/projects/{stranger}/deploy_logs",
        f"/v1/projects/{stranger}/revisions/{desk.revision}/build_logs",
        f"/v1/projects/{desk.id}/revisions/{stranger}/build_logs",
        f"/v1/projects/{desk.id}/revisions/{stranger}/deploy_logs",
    ]
    reads = [
        f"/v2/deployments/{stranger}/logs?type=deploy",
        f"/v2/deployments/{desk.id}/revisions/{stranger}/logs?type=build",
        f"/v2/deployment-logs?deployment_id={stranger}",
    ]
    for path in paths:
        assert str(stranger) in await desk.yard.refused("POST", path, 404, json={})
    for path in reads:
        assert str(stranger) in await desk.yard.refused("GET", path, 404)
    _, secret = await admit(desk.yard.parts, "others")
    async with speaking(desk.yard.app, secret) as other:
        assert (await other.post(desk.deploy)).status_code == 404
        assert (await other.get(f"/v2/deployments/{desk.id}/logs?type=deploy")).status_code == 404
    async with speaking(desk.yard.app, "") as nobody:
        assert (await nobody.post(desk.deploy)).status_code == 401
    assert (await desk.yard.client.post("/v1/projects/x/deploy_logs")).status_code == 422


async def test_a_cursor_repeats_and_misses_nothing_while_several_write(desk: Desk) -> None:
    writers, batches, size = 4, 12, 7
    written = asyncio.Event()

    async def write(writer: int) -> None:
        for batch in range(batches):
            lines = [
                desk.sent(batch * size + i, stream=f"writer-{writer}", message=f"{writer}.{batch * size + i}")
                for i in range(size)
            ]
            await desk.ship(*lines)
            if batch % 3 == 0:
                await desk.ship(*lines)  # a shipper that did not hear the answer

    async def follow() -> list[dict[str, Any]]:
        """What the CLI does while it waits for a build: keep the last cursor it was given."""
        seen: list[dict[str, Any]] = []
        body: dict[str, Any] = {"order": "asc", "limit": 5}
        while True:
            last_look = written.is_set()
            page = await desk.read(**body)
            seen += page["logs"]
            body["offset"] = page["next_offset"] or body.get("offset")
            if last_look and not page["logs"]:
                return seen

    readers = [asyncio.create_task(follow()) for _ in range(2)]
    await asyncio.gather(*(write(writer) for writer in range(writers)))
    written.set()
    for seen in await asyncio.gather(*readers):
        messages = [entry["message"] for entry in seen]
        assert len(messages) == len(set(messages)) == writers * batches * size
        ids = [int(entry["id"]) for entry in seen]
        assert ids == sorted(ids)
        for writer in range(writers):
            own = [message for message in messages if message.startswith(f"{writer}.")]
            assert own == [f"{writer}.{i}" for i in range(batches * size)]


async def test_the_clis_follow_misses_nothing(desk: Desk) -> None:
    """`logs --follow`: ascending from the newest moment on, known ids left out. Two replicas, one of
    them late, and many lines in one millisecond."""
    seen_ids: set[str] = set()
    messages: list[str] = []
    payload: dict[str, Any] = {"limit": 10, "order": "desc"}

    async def poll() -> int:
        fresh = [entry for entry in (await desk.read(**payload))["logs"] if entry["id"] not in seen_ids]
        if payload["order"] == "desc":
            fresh.reverse()
        seen_ids.update(entry["id"] for entry in fresh)
        messages.extend(entry["message"] for entry in fresh)
        if fresh:
            moment = datetime.fromtimestamp(fresh[-1]["timestamp"] / 1000, UTC)
            payload["start_time"] = moment.isoformat()
        payload["order"] = "asc"
        return len(fresh)

    async def drain() -> None:
        while await poll():
            pass

    await desk.ship(desk.sent(0), desk.sent(5))
    await poll()
    await desk.ship(*(desk.sent(i, stream="late", message=f"late {i}") for i in range(5)))
    await drain()
    moment = (START + timedelta(seconds=9)).isoformat()
    await desk.ship(*(desk.sent(i, at=moment, stream="burst", message=f"burst {i}") for i in range(100)))
    await drain()
    await desk.ship(desk.sent(20))
    await drain()
    assert messages == [
        "line 0",
        "line 5",
        *(f"late {i}" for i in range(5)),
        *(f"burst {i}" for i in range(100)),
        "line 20",
    ]


async def test_an_open_log_always_has_a_cursor_and_a_closed_one_ends(desk: Desk) -> None:
    empty = await desk.read(desk.build)
    assert empty == {"logs": [], "next_offset": "0"}
    await desk.ship(desk.sent(0, kind="build", stream="b"))
    page = await desk.read(desk.build, offset=empty["next_offset"])
    cursor = page["next_offset"]
    assert [entry["message"] for entry in page["logs"]] == ["line 0"]
    assert (await desk.read(desk.build, offset=cursor))["next_offset"] == cursor
    async with desk.yard.parts.sessions.begin() as session:
        row = await session.get_one(Revision, UUID(desk.revision))
        row.status, row.updated_at = RevisionStatus.BUILD_FAILED, now() - timedelta(minutes=5)
    whole = await desk.read(desk.build)
    assert whole["next_offset"] == cursor, "without it a client that polls prints everything again"
    assert await desk.read(desk.build, offset=cursor) == {"logs": [], "next_offset": None}
    newest = await desk.read(desk.build, order="desc", limit=1)
    assert newest["next_offset"] == cursor
    assert (await desk.read(desk.build, order="desc", limit=2))["next_offset"] is None


async def test_the_newer_spellings_answer_the_same(desk: Desk) -> None:
    run = str(uuid4())
    await desk.ship(*(desk.sent(i) for i in range(5)))
    await desk.ship(desk.sent(5, message=f"Run failed run_id={run}", level="ERROR"))
    await desk.ship(desk.sent(0, kind="build", stream="b", message="built"))
    yard = desk.yard
    base = f"/v2/deployments/{desk.id}"

    async def get(path: str, **params: Any) -> Any:
        return await yard.ok("GET", path, params=params)

    page = await get(f"{base}/logs", type="deploy", limit=2)
    assert [entry["message"] for entry in page["logs"]] == ["line 0", "line 1"]
    page = await get(
        f"{base}/revisions/{desk.revision}/logs", type="DEPLOY", offset=page["next_offset"], limit=2
    )
    assert [entry["message"] for entry in page["logs"]] == ["line 2", "line 3"]
    assert [e["message"] for e in (await get(f"{base}/logs", type="build"))["logs"]] == ["built"]
    assert len((await get(f"{base}/logs", type="deploy", run_id=run))["logs"]) == 1
    assert len((await get(f"{base}/logs", type="deploy", run_id=run, query="x"))["logs"]) == 0
    assert len((await get(f"{base}/logs", type="deploy", level="error", order="desc"))["logs"]) == 1
    found = await get("/v2/deployment-logs", deployment_id=desk.id, log_type="DEPLOY", page_size=4)
    assert [entry["message"] for entry in found["items"]][1:] == ["line 4", "line 3", "line 2"]
    found = await get("/v2/deployment-logs", deployment_id=desk.id, page_size=4, cursor=found["next_cursor"])
    assert [entry["message"] for entry in found["items"]] == ["line 1", "line 0"]
    assert found["next_cursor"] is None
    found = await get("/v2/deployment-logs", deployment_id=desk.id, sort_order="ASC", page_size=1)
    assert found["items"][0]["message"] == "line 0"


async def test_both_prefixes_lead_here_and_the_internal_door_has_one(desk: Desk) -> None:
    answer = await desk.yard.client.post("/api-host" + desk.deploy, json={})
    assert answer.status_code == 200
    answer = await desk.yard.client.post("/api-host/internal/v1/lines", json={"lines": []}, headers=PLANE)
    assert answer.status_code == 404


async def events(answer: httpx.Response, count: int) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    event: dict[str, str] = {}
    async for text in answer.aiter_lines():
        if text and not text.startswith(":"):
            name, _, value = text.partition(": ")
            event[name] = value
        elif event:
            found.append(event)
            event = {}
            if len(found) == count:
                break
    return found


async def test_a_log_can_be_followed_as_events(desk: Desk, settings: Settings) -> None:
    await desk.ship(*(desk.sent(i) for i in range(3)))
    params = {"type": "deploy", "follow": "true"}
    path = f"/v2/deployments/{desk.id}/logs"
    key = {"X-Api-Key": desk.yard.api_key}
    async with served(settings) as house, httpx.AsyncClient(base_url=house.url, headers=key) as client:
        async with client.stream("GET", path, params=params) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            reading = asyncio.create_task(events(answer, 5))
            await asyncio.sleep(0.1)
            await desk.ship(desk.sent(3), desk.sent(4))
            seen = await asyncio.wait_for(reading, 10)
        assert [json.loads(event["data"])["message"] for event in seen] == [f"line {i}" for i in range(5)]
        resumed = {"Last-Event-ID": seen[3]["id"]}
        async with client.stream("GET", path, params=params, headers=resumed) as answer:
            [again] = await asyncio.wait_for(events(answer, 1), 10)
        assert again["id"] == seen[4]["id"]
    assert await desk.yard.refused("GET", path, 400, params=params, headers={"Last-Event-ID": "x"})
    assert await desk.yard.refused("GET", path, 400, params={**params, "order": "desc"})


async def test_one_revisions_lines_are_not_anothers(desk: Desk) -> None:
    await desk.yard.push(desk.id)
    second = (await desk.yard.ok("GET", f"/v2/deployments/{desk.id}"))["latest_revision_id"]
    assert second != desk.revision
    await desk.ship(desk.sent(0), desk.sent(0, number=2, stream="other", message="second"))
    first_path = f"/v1/projects/{desk.id}/revisions/{desk.revision}/deploy_logs"
    second_path = f"/v1/projects/{desk.id}/revisions/{second}/deploy_logs"
    assert await desk.messages(first_path) == ["line 0"]
    assert await desk.messages(second_path) == ["second"]
    assert await desk.messages() == ["line 0", "second"]
