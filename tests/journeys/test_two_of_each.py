"""Two workers and two APIs at once: no rollout is done twice and no wish is lost, also when one of each dies."""

import asyncio
import itertools
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from tests.chaos.moments import until_step
from tests.journeys.yard import ENDED, Yard, agent, project
from tests.stack import Stack
from workflows import names

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]
CLIENTS = 20


@dataclass
class Pair:
    """A deployment behind two doors, and the second ones of worker and api."""

    doors: tuple[Yard, Yard]
    deployment: str
    url: str
    worker: int
    api: int
    temporal: Client


@pytest.fixture
async def pair(stack: Stack) -> AsyncIterator[Pair]:
    socket = stack.home / "run" / "api-2.sock"
    with stack.another("worker") as worker, stack.another("api", GRAPHYARD_API_SOCKET=str(socket)) as api:
        async with (
            Yard(stack.url, stack.api_key) as first,
            Yard("http://api", stack.api_key, transport=httpx.AsyncHTTPTransport(uds=str(socket))) as second,
        ):
            made = await first.create("two-of-each")
            revision = await first.push(made["id"], project())
            await stack.until_ready("worker", worker.pid)
            found = await second.deployed(made["id"], revision)
            temporal = await Client.connect(stack.temporal_address)
            yield Pair((first, second), made["id"], found["url"], worker.pid, api.pid, temporal)
            await first.delete(made["id"])
            await first.until_gone(made["id"])


async def test_the_newest_of_many_wishes_serves_and_none_is_done_twice(stack: Stack, pair: Pair) -> None:
    wished = await _twenty_wishes(pair, hurry=range(CLIENTS // 2))
    first = await _settled(pair, wished)
    assert {one["id"] for one in first} >= set(wished)

    # And again, while the worker that does a step, and the api of every other client, are killed.
    async with asyncio.TaskGroup() as group:
        wishing = group.create_task(_twenty_wishes(pair, hurry=range(CLIENTS // 2)))
        doing = await until_step(pair.temporal, pair.deployment, "starting")
        for pid in (doing, pair.api):
            _kill(pid)
    second = await _settled(pair, wishing.result())
    assert {one["id"] for one in second} >= set(wished) | set(wishing.result())


async def _twenty_wishes(pair: Pair, hurry: range) -> dict[str, str]:
    """Clients side by side, each through its own door first; some at once and the others one by one. What was
    wished for, by the revision that each was told."""

    async def wish(client: int) -> tuple[str, str]:
        await asyncio.sleep(0 if client in hurry else client * 0.3)
        doors = pair.doors if client % 2 else pair.doors[::-1]
        return await _wish(doors, pair.deployment, f"{client}-"), f"{client}-"

    told = dict(await asyncio.gather(*(wish(client) for client in range(CLIENTS))))
    assert len(told) == CLIENTS, "two clients were told the same revision"
    return told


async def _wish(doors: tuple[Yard, ...], deployment: str, prefix: str) -> str:
    """A client that takes the other door when one is shut."""
    body = {"secrets": [{"name": "ECHO_PREFIX", "value": prefix}]}
    async with asyncio.timeout(60):
        for door in itertools.cycle(doors):
            with suppress(httpx.TransportError):
                answer = await door.http.patch(f"/v2/deployments/{deployment}", json=body)
                if answer.status_code < 500:
                    assert answer.status_code == 200, answer.text
                    revision: str = answer.json()["latest_revision_id"]
                    return revision
            await asyncio.sleep(0.1)
    raise AssertionError("cycles never end")


async def _settled(pair: Pair, wished: dict[str, str]) -> list[dict[str, Any]]:
    """Wait until every wish has ended, and hold what became of them against what may be."""
    door = pair.doors[0]
    async with asyncio.timeout(120):
        found = await door.revisions(pair.deployment)
        while {one["status"] for one in found} - ENDED:
            await asyncio.sleep(0.2)
            found = await door.revisions(pair.deployment)
    newest, *older = found
    assert [one["number"] for one in found] == list(range(len(found), 0, -1))
    assert newest["status"] == "DEPLOYED"
    assert {one["status"] for one in older} <= {"SKIPPED", "DEPLOYED"}, older
    shown = await door.deployment(pair.deployment)
    assert shown["active_revision_id"] == shown["latest_revision_id"] == newest["id"]
    answer = await agent(pair.url).runs.wait(None, "echo", input={"text": "alive"})
    assert isinstance(answer, dict)
    assert answer["result"] == f"{wished[newest['id']]}ALIVE"
    await _check_rollouts(pair, found)
    return found


async def _check_rollouts(pair: Pair, revisions: list[dict[str, Any]]) -> None:
    """As Temporal tells them: one at a time, one per revision, in the order of the wishes."""
    entity = pair.temporal.get_workflow_handle(names.deployment_workflow(UUID(pair.deployment)))
    done: list[int] = []
    under_way: list[int] = []
    async for event in entity.fetch_history_events():
        if event.event_type == EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED:
            started = event.child_workflow_execution_started_event_attributes.workflow_execution
            under_way.append(_number(started.workflow_id))
            assert len(under_way) == 1, f"{under_way} at once"
        elif event.event_type == EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED:
            ended = event.child_workflow_execution_completed_event_attributes.workflow_execution
            under_way.remove(_number(ended.workflow_id))
            done.append(_number(ended.workflow_id))
    assert done == sorted(set(done)), "a revision was rolled out twice, or after a newer one"
    deployed = [one["number"] for one in reversed(revisions) if one["status"] == "DEPLOYED"]
    assert set(deployed) <= set(done)
    assert under_way == []


def _number(workflow: str) -> int:
    found = re.fullmatch(r"deployment-.+-rollout-(\d+)\.1", workflow)
    assert found, f"{workflow} is no first attempt at a rollout"
    return int(found[1])


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
