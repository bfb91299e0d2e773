"""The machine loses all its processes at once, in the middle of everything, and `graphyard up` brings it back."""

import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from tests.chaos.counts import until_counted, what_exists
from tests.chaos.moments import until_step
from tests.journeys.yard import Yard, agent, project
from tests.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]
KINDS = ("databases", "roles", "valkeys", "servers", "routes")


@pytest.fixture
async def yard(stack: Stack) -> AsyncIterator[Yard]:
    async with Yard(stack.url, stack.api_key) as found:
        yield found


@pytest.fixture
def stranger() -> Iterator[int]:
    """The pid of a process that has nothing to do with us."""
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process.pid
        process.kill()


async def test_a_reboot_loses_nothing_and_makes_no_revision(stack: Stack, yard: Yard, stranger: int) -> None:
    tenant, key, url = stack.tenant_id, stack.api_key, stack.url
    wide, rolling, leaving = [await yard.create(f"reboot-{name}") for name in ("wide", "rolling", "leaving")]
    serving = [
        await _deployed(yard, one, replicas) for one, replicas in ((wide, 2), (rolling, 1), (leaving, 1))
    ]
    threads = [await _remember(one["url"]) for one in serving[:2]]

    temporal = await Client.connect(stack.temporal_address)
    under_way = await yard.revise(rolling["id"], secrets=[{"name": "ECHO_PREFIX", "value": "new-"}])
    await until_step(temporal, rolling["id"], "starting")
    await yard.delete(leaving["id"])
    await until_step(temporal, leaving["id"], "deleting")
    assert stack.power_cut() >= 12, "a stack with three deployments has more processes than that"
    _hand_out_pids_anew(stack.home, stranger)
    said = stack.up()

    serve = re.search(r"(\d+) of (\d+) serving", said)
    assert serve, said
    assert serve[1] == serve[2], said
    assert (stack.tenant_id, stack.api_key, stack.url) == (tenant, key, url)
    await yard.until_gone(leaving["id"])
    assert await what_exists(stack, leaving["id"]) == dict.fromkeys(KINDS, 0)
    await yard.deployed(rolling["id"], under_way)
    for one, revision, prefix, count in (
        (wide, serving[0]["active_revision_id"], "", 1),
        (rolling, under_way, "new-", 2),
    ):
        found = await yard.deployment(one["id"])
        assert found["latest_revision_id"] == found["active_revision_id"] == revision
        assert len(await yard.revisions(one["id"])) == count
        # Two answers: a claim that was under way as the older replica was told to stop may still be given a run.
        answers = [await agent(found["url"]).runs.wait(None, "echo", input={"text": "alive"}) for _ in "12"]
        assert isinstance(answers[-1], dict)
        assert answers[-1]["result"] == f"{prefix}ALIVE"
    for one, thread in zip(serving[:2], threads, strict=True):
        assert await _recalled(one["url"], thread) == "REMEMBER"
    await until_counted(stack, wide["id"], {**dict.fromkeys(KINDS, 1), "servers": 2})
    await until_counted(stack, rolling["id"], dict.fromkeys(KINDS, 1))
    for one in (wide, rolling):
        await yard.delete(one["id"])
    for one in (wide, rolling):
        await yard.until_gone(one["id"])


async def _deployed(yard: Yard, one: dict[str, Any], replicas: int) -> dict[str, Any]:
    revision = await yard.push(one["id"], project(), resources={"min_scale": replicas})
    return await yard.deployed(one["id"], revision)


async def _remember(url: str) -> str:
    thread: str = (await agent(url).threads.create())["thread_id"]
    await agent(url).runs.wait(thread, "echo", input={"text": "remember"})
    return thread


async def _recalled(url: str, thread: str) -> object:
    values = (await agent(url).threads.get_state(thread))["values"]
    assert isinstance(values, dict)
    return values["result"]


def _hand_out_pids_anew(home: Path, stranger: int) -> None:
    """After a reboot the pids that files name may be anybody's."""
    for path in (home / "run" / "supervisord.pid", home / "run" / "keeper.lock"):
        path.write_text(str(stranger))
    lock = home / "data" / "postgres" / "postmaster.pid"
    _, *rest = lock.read_text().splitlines(keepends=True)
    lock.write_text("".join([f"{stranger}\n", *rest]))
