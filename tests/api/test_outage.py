"""The records' database stands still, refuses, is cut off or drags: callers hear within seconds that they have to
come back, nothing is accepted that is not stored, and all goes on by itself."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from api import main
from api.parts import Parts
from settings import Settings
from tests.api.conftest import ARCHIVE, Yard, opened, speaking
from tests.api.served import served
from tests.proxy import Proxy, between
from workflows.lines import TOKEN_HEADER

Admit = Callable[[Parts, str], Awaitable[tuple[str, str]]]
PATIENCE = 1.0
SOON = 10.0
"""A connection that stood still is given up, and the attempt at another one; Temporal is away, too. Between them that
is four seconds of waiting; a route that waits for the database itself waits for a minute."""
LIST = "/v2/deployments"
UNASKED = (
    "/health",
    "/ready",
    "/metrics",
    "/v2/registry/token",
    "/v2/registry/certificate",
    "/v2/uploads/{upload_id}",
)
"""These ask nothing of the records, or more than a path: a registry's words follow from the seals."""


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "PATIENCE", PATIENCE)


@pytest.fixture
async def spoilt(settings: Settings) -> AsyncIterator[tuple[Proxy, Settings]]:
    """Settings that lead to the database through a network of ours."""
    async with between(settings.database_url.get_secret_value()) as (proxy, dsn):
        yield proxy, settings.model_copy(update={"database_url": SecretStr(dsn)})


@pytest.fixture
async def house(spoilt: tuple[Proxy, Settings], admit: Admit) -> AsyncIterator[tuple[Proxy, Yard]]:
    proxy, settings = spoilt
    async with opened(settings) as (app, parts):
        workspace_id, key = await admit(parts, "default")
        async with speaking(app, key) as client:
            yield proxy, Yard(app, parts, client, workspace_id, key)
            proxy.flow()


async def stands_still(proxy: Proxy) -> None:
    proxy.stall()


async def refuses(proxy: Proxy) -> None:
    await proxy.refuse()


async def comes_back(proxy: Proxy) -> None:
    proxy.flow()
    await proxy.start()


OUTAGES = [pytest.param(stands_still, id="stands-still"), pytest.param(refuses, id="refuses")]


async def is_sent_away(client: httpx.AsyncClient, method: str, path: str, **sent: Any) -> None:
    began = monotonic()
    answer = await client.request(method, path, **sent)
    took = monotonic() - began
    assert answer.status_code == 503, (method, path, answer.status_code, answer.text)
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json()["detail"].startswith("The database behind this API is away")
    assert took < SOON, (method, path, took)


@pytest.mark.parametrize("outage", OUTAGES)
async def test_every_route_sends_its_callers_away_in_time(
    house: tuple[Proxy, Yard], outage: Callable[[Proxy], Awaitable[None]]
) -> None:
    proxy, yard = house
    made = await yard.create("agent")
    pushed = await yard.push(made["id"])
    ticket = await yard.ok("POST", f"{LIST}/{made['id']}/upload-url")
    before = await yard.rows()
    filled = {"deployment_id": made["id"], "revision_id": pushed["latest_revision_id"], "listener": "local"}
    await outage(proxy)
    calls = []
    for path, operations in yard.app.openapi()["paths"].items():
        for method in operations:
            if path in UNASKED:
                continue
            target = path.format(**filled, listener_id=made["id"], orphan_id=1, integration_id=made["id"])
            calls.append(is_sent_away(yard.client, method.upper(), target, **_sent(path, method, made["id"])))
    assert len(calls) > 30
    plane = {TOKEN_HEADER: yard.parts.settings.plane_token.get_secret_value()}
    for path, body in _told(made["id"]).items():
        calls.append(is_sent_away(yard.client, "POST", path, json=body, headers=plane))
    calls.append(is_sent_away(yard.client, "PUT", ticket["upload_url"], content=ARCHIVE))
    # One after the other they would take their time; at once they also wait for each other's connections.
    turns = asyncio.Semaphore(16)

    async def in_turn(call: Awaitable[None]) -> None:
        async with turns:
            await call

    await asyncio.gather(*map(in_turn, calls))
    ready = await yard.client.get("/ready")
    assert (ready.status_code, ready.json()["database"]) == (503, "away")
    assert "graphyard_database_up 0.0" in (await yard.client.get("/metrics")).text
    assert (await yard.client.get("/health")).status_code == 200
    await comes_back(proxy)
    assert await yard.rows() == before
    assert (await yard.ok("GET", "/ready"))["database"] == "ready"
    assert not list((yard.parts.settings.home / "uploads").glob("*.part*"))


async def test_more_callers_than_connections_are_all_answered(house: tuple[Proxy, Yard]) -> None:
    proxy, yard = house
    await yard.create("agent")
    proxy.stall()
    began = monotonic()
    answers = await asyncio.gather(*(yard.client.get(LIST) for _ in range(60)))
    assert {answer.status_code for answer in answers} == {503}
    assert monotonic() - began < 2 * SOON
    proxy.flow()
    assert (await yard.client.get(LIST)).status_code == 200


async def test_what_was_refused_left_nothing_half_written(house: tuple[Proxy, Yard]) -> None:
    """The network dies while a change is being written, before its commit is asked for."""
    proxy, yard = house
    made = await yard.create("agent")
    await yard.push(made["id"])
    before = await yard.rows()
    body = {"secrets": [{"name": "A", "value": "1"}], "display_name": "half"}
    proxy.stall_before(lambda piece: b"INSERT 0 1" in piece)
    await is_sent_away(yard.client, "PATCH", f"{LIST}/{made['id']}", json=body)
    proxy.flow()
    assert await yard.rows() == before
    changed = await yard.ok("PATCH", f"{LIST}/{made['id']}", json=body)
    assert (changed["display_name"], len(changed["secrets"])) == ("half", 1)


async def test_a_commit_whose_answer_is_lost_is_no_success(house: tuple[Proxy, Yard]) -> None:
    """It was stored and nobody knows: who asks again gets it, and is never told of something that is not."""
    proxy, yard = house
    made = await yard.create("agent")
    proxy.stall_before(lambda piece: b"COMMIT\0" in piece)
    path = f"{LIST}/{made['id']}"
    await is_sent_away(yard.client, "PATCH", path, json={"display_name": "told"})
    proxy.flow()
    assert (await yard.ok("GET", path))["display_name"] == "told"
    assert (await yard.ok("PATCH", path, json={"display_name": "told"}))["display_name"] == "told"


async def test_an_upload_whose_commit_is_lost_can_be_sent_again(house: tuple[Proxy, Yard]) -> None:
    proxy, yard = house
    made = await yard.create("agent")
    for lost in (b"COMMIT\0", b"UPDATE 1\0"):
        ticket = await yard.ok("POST", f"{LIST}/{made['id']}/upload-url")
        proxy.stall_before(lambda piece, lost=lost: lost in piece)  # type: ignore[misc]
        await is_sent_away(yard.client, "PUT", ticket["upload_url"], content=ARCHIVE)
        proxy.flow()
        put = await yard.client.put(ticket["upload_url"], content=ARCHIVE)
        assert put.status_code == 200, put.text
        source = {"source_tarball_path": ticket["object_path"], "langgraph_config_path": "langgraph.json"}
        body = {"revision_source": "internal_source", "source_revision_config": source, "secrets": []}
        await yard.ok("PATCH", f"{LIST}/{made['id']}", json=body)
        archive = await yard.client.get(
            f"/internal/v1/sources/{ticket['object_path'].split('/')[-1].split('.')[0]}",
            headers={TOKEN_HEADER: "plane-token"},
        )
        assert archive.content == ARCHIVE


async def test_connections_that_are_cut_are_made_again(house: tuple[Proxy, Yard]) -> None:
    proxy, yard = house
    made = await yard.create("agent")
    for _ in range(3):
        proxy.cut()
        answers = await asyncio.gather(*(yard.client.get(f"{LIST}/{made['id']}") for _ in range(8)))
        assert {answer.status_code for answer in answers} == {200}


async def test_one_that_drags_is_slow_and_right(house: tuple[Proxy, Yard]) -> None:
    proxy, yard = house
    proxy.delay = PATIENCE / 10
    made = await yard.create("agent")
    changed = await yard.ok("PATCH", f"{LIST}/{made['id']}", json={"display_name": "slow"})
    assert changed["display_name"] == "slow"


async def test_a_statement_that_takes_too_long_is_given_up(house: tuple[Proxy, Yard]) -> None:
    """Somebody holds a lock, by hand or in a transaction that hangs."""
    _, yard = house
    made = await yard.create("agent")
    async with yard.parts.engine.connect() as connection:
        await connection.exec_driver_sql("SELECT * FROM deployments FOR UPDATE")
        await is_sent_away(yard.client, "PATCH", f"{LIST}/{made['id']}", json={"display_name": "x"})
    assert (await yard.ok("PATCH", f"{LIST}/{made['id']}", json={"display_name": "x"}))["display_name"] == "x"


@asynccontextmanager
async def following(client: httpx.AsyncClient, path: str) -> AsyncIterator[AsyncIterator[str]]:
    async with client.stream("GET", path) as answer:
        assert answer.status_code == 200
        yield answer.aiter_lines()


@pytest.mark.parametrize("outage", OUTAGES)
async def test_streams_end_and_resume(
    spoilt: tuple[Proxy, Settings], admit: Admit, outage: Callable[[Proxy], Awaitable[None]]
) -> None:
    proxy, settings = spoilt
    async with served(settings) as api:
        _, key = await admit(api.parts, "default")
        yard = Yard.at(api.app, api.url, key)
        made = await yard.create("agent")
        path = f"{LIST}/{made['id']}"
        async with (
            following(yard.client, f"{path}/events?stream=true") as events,
            following(yard.client, f"{path}/logs?type=deploy&follow=true") as lines,
        ):
            last = (await anext(events)).removeprefix("id: ")
            await outage(proxy)
            async with asyncio.timeout(SOON + 1):
                # Neither a broken connection, which raises, nor one that hangs.
                rest = [line async for line in events]
                assert [line async for line in lines] == []
            assert sum(line.startswith("data: ") for line in rest) == 1
        await is_sent_away(yard.client, "GET", f"{path}/events?stream=true")
        await comes_back(proxy)
        await yard.ok("PATCH", path, json={"display_name": "later"})
        headers = {"Last-Event-ID": last}
        async with yard.client.stream("GET", f"{path}/events?stream=true", headers=headers) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    assert json.loads(line.removeprefix("data: "))["kind"] == "deployment.changed"
                    break
        await yard.client.aclose()


def _sent(path: str, method: str, deployment_id: str) -> dict[str, Any]:
    """A body that is well formed, so that the records are asked."""
    if method not in ("post", "patch"):
        return {"params": _asked(path, deployment_id)}
    match path.rsplit("/", 1)[-1]:
        case "drift":
            return {"json": {"policy": "report"}}
        case "deployments":
            return {
                "json": {
                    "name": "x",
                    "source": "internal_source",
                    "source_config": {},
                    "source_revision_config": {},
                    "secrets": [],
                }
            }
        case _:
            return {"json": {}}


def _asked(path: str, deployment_id: str) -> dict[str, str]:
    if path.endswith("/logs"):
        return {"type": "deploy"}
    return {"deployment_id": deployment_id, "deployment_ids": deployment_id}


def _told(deployment_id: str) -> dict[str, Any]:
    """What planes send."""
    line = {
        "deployment": deployment_id.replace("-", "")[:8],
        "number": 1,
        "kind": "deploy",
        "at": "2026-01-01T00:00:00Z",
        "level": "INFO",
        "message": "x",
        "stream": "s",
        "position": 0,
    }
    page: dict[str, Any] = {"plane": "local", "first": "", "end": None, "looked": [], "seen": []}
    return {
        "/internal/v1/lines": {"lines": [line]},
        "/internal/v1/surveys": page,
        "/internal/v1/tidings": {"plane": "local", "sentence": "x"},
        "/internal/v1/beats": {"plane": "local"},
    }
