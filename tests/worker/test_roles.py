"""A worker for one side: the control side needs no plane and no keys, a plane's own no records."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx
import pytest
from pydantic import SecretStr
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client

from settings import Settings
from tests.temporal_server import TemporalServer
from tests.worker.test_main import answered, client, running
from worker.main import Role
from workflows import names

NOWHERE = SecretStr("postgresql://nobody@127.0.0.1:1/nothing")


@pytest.fixture
def port() -> int:
    """A free one."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


async def polled(client: Client, queue: str) -> bool:
    """Whether somebody asks that queue for steps."""
    seen = await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace="default",
            task_queue=TaskQueue(name=queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
        )
    )
    return bool(seen.pollers)


async def until_polled(client: Client, queue: str) -> None:
    async with asyncio.timeout(20):
        while not await polled(client, queue):
            await asyncio.sleep(0.05)


@asynccontextmanager
async def asked(port: int) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as asking:
        yield asking


async def until(asking: httpx.AsyncClient, path: str, status: int) -> str:
    async with asyncio.timeout(20):
        while True:
            try:
                answer = await asking.get(path)
            except httpx.TransportError:
                await asyncio.sleep(0.02)
                continue
            if answer.status_code == status:
                return answer.text
            await asyncio.sleep(0.02)


async def test_a_plane_s_own_worker_needs_no_records(
    with_settings: Callable[..., Settings], temporal_server: TemporalServer
) -> None:
    temporal_server.start()
    away = with_settings(database_url=NOWHERE, plane="east")
    to = await client(temporal_server)
    async with running(away, Role.PLANE):
        await until_polled(to, names.plane_queue("east"))
        assert not await polled(to, names.CONTROL)
        async with asyncio.timeout(20):
            schedule = to.get_schedule_handle(names.sweep_schedule("east"))
            while True:
                try:
                    kept = await schedule.describe(rpc_timeout=timedelta(seconds=5))
                except Exception:
                    await asyncio.sleep(0.05)
                else:
                    break
        assert kept.schedule.spec.intervals[0].every.total_seconds() == away.sweep_seconds


async def test_the_control_side_needs_no_plane_and_no_keys(
    with_settings: Callable[..., Settings], temporal_server: TemporalServer
) -> None:
    temporal_server.start()
    alone = with_settings(sealing_keys=with_settings().home / "no.keys", plane="nowhere")
    async with running(alone, Role.CONTROL):
        await answered(temporal_server)
        assert not await polled(await client(temporal_server), names.plane_queue("nowhere"))


def test_a_plane_s_own_worker_holds_no_code_for_the_records() -> None:
    looking = (
        "import sys, worker.main, worker.plane, dataplane.local.plane; "
        "print([name for name in ('records', 'sqlalchemy', 'fastapi', 'api') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", looking], capture_output=True, text=True, timeout=60)
    assert (said.stdout.strip(), said.stderr) == ("[]", "")


async def test_it_says_what_it_waits_for(
    with_settings: Callable[..., Settings], temporal_server: TemporalServer, port: int
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        sdk = taken.getsockname()[1]
    watched = with_settings(health_listen=f"127.0.0.1:{port}", temporal_metrics=f"127.0.0.1:{sdk}")
    async with running(watched), asked(port) as asking:
        assert await until(asking, "/live", 200) == "alive\n"
        assert await until(asking, "/ready", 503) == "waiting for Temporal\n"
        temporal_server.start()
        assert await until(asking, "/ready", 200) == "ready\n"
        assert "python_info" in await until(asking, "/metrics?all", 200)
        assert "/live" in await until(asking, "/elsewhere", 404)
        assert (await asking.head("/live")).content == b""
        async with asked(sdk) as of_temporal:
            assert "temporal_num_pollers" in await until(of_temporal, "/metrics", 200)


async def test_who_says_nothing_is_hung_up_on(
    with_settings: Callable[..., Settings], port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.health.PATIENCE", 0.1)
    async with running(with_settings(health_listen=f"127.0.0.1:{port}")), asked(port) as asking:
        await until(asking, "/live", 200)
        for said in (b"", b"GET\r\n\r\n", b"x" * 10_000):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(said)
            async with asyncio.timeout(5):
                assert await reader.read() == b""
            writer.close()
        assert await until(asking, "/live", 200) == "alive\n"
