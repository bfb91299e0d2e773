"""The timeline: as pages, and as a stream that resumes and ends by itself."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx

from api.parts import Parts
from settings import Settings
from tests.api.conftest import Yard
from tests.api.served import served

LIST = "/v2/deployments"
Admit = Callable[[Parts, str], Awaitable[tuple[str, str]]]


async def test_pages_go_both_ways(yard: Yard) -> None:
    made = await yard.create("agent")
    await yard.push(made["id"])
    await yard.ok("PATCH", f"{LIST}/{made['id']}", json={"display_name": "x"})
    path = f"{LIST}/{made['id']}/events"
    events = (await yard.ok("GET", path))["resources"]
    assert [event["kind"] for event in events] == [
        "deployment.created",
        "revision.created",
        "deployment.changed",
    ]
    assert events[1]["number"] == 1
    newest = await yard.ok("GET", path, params={"order": "desc", "limit": 1})
    assert (newest["resources"], newest["offset"]) == ([events[2]], 1)
    assert (await yard.ok("GET", path, params={"offset": 2}))["resources"] == [events[2]]


async def _events(answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    fields: dict[str, Any] = {}
    async for line in answer.aiter_lines():
        if not line and fields:
            yield fields
            fields = {}
        elif ": " in line and not line.startswith(":"):
            name, value = line.split(": ", 1)
            fields[name] = json.loads(value) if name == "data" else value


async def test_a_stream_tells_what_was_and_what_comes_and_ends_with_the_deployment(
    settings: Settings, admit: Admit
) -> None:
    async with served(settings) as api:
        _, key = await admit(api.parts, "default")
        yard = Yard.at(api.app, api.url, key)
        made = await yard.create("agent")
        path = f"{LIST}/{made['id']}"
        kinds = []
        async with yard.client.stream("GET", f"{path}/events?stream=true") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            stream = _events(answer)
            first = await anext(stream)
            assert first["data"]["kind"] == first["event"] == "deployment.created"
            assert first["id"] == first["data"]["id"]
            await yard.push(made["id"])
            second = await anext(stream)
            assert second["event"] == "revision.created"
            await yard.ok("DELETE", path, 204)
            assert (await anext(stream))["data"]["after"] == "AWAITING_DELETE"
            await yard.ok("DELETE", f"{path}?force=true", 204)
            kinds = [event["event"] async for event in stream]
        assert kinds == ["gone"]
        await yard.client.aclose()


async def test_a_stream_resumes_behind_the_last_event_it_told(settings: Settings, admit: Admit) -> None:
    async with served(settings) as api:
        _, key = await admit(api.parts, "default")
        yard = Yard.at(api.app, api.url, key)
        made = await yard.create("agent")
        await yard.push(made["id"])
        path = f"{LIST}/{made['id']}/events"
        first, second = (await yard.ok("GET", path))["resources"]
        headers = {"Accept": "text/event-stream", "Last-Event-ID": first["id"]}
        async with yard.client.stream("GET", path, headers=headers) as answer:
            assert (await anext(_events(answer)))["data"] == second
        assert "Last-Event-ID" in await yard.refused(
            "GET", path, 400, headers={**headers, "Last-Event-ID": "x"}
        )
        await yard.client.aclose()


async def test_an_open_stream_does_not_hold_up_the_end(settings: Settings, admit: Admit) -> None:
    async with served(settings) as api:
        _, key = await admit(api.parts, "default")
        yard = Yard.at(api.app, api.url, key)
        made = await yard.create("agent")
        async with yard.client.stream("GET", f"{LIST}/{made['id']}/events?stream=true") as answer:
            stream = _events(answer)
            await anext(stream)
            api.app.state.closing.set()
            async with asyncio.timeout(3):
                assert [event async for event in stream] == []
        await yard.client.aclose()
