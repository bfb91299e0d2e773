"""Logs of real pods on their way to the records: deaths, restarts, records that are away, readers that begin anew,
and a node that cannot read what it is asked for."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from dataplane.kubernetes import names
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.kinds import POD
from dataplane.kubernetes.shipper import Shipper
from tests.cluster import REGISTRY
from workflows import names as plain
from workflows.lines import Line, Taken

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]

IMAGE = f"{REGISTRY}/python:3.11"


class Records:
    """Takes lines while it is open, and knows what it has."""

    def __init__(self) -> None:
        self.lines: dict[tuple[str, int], Line] = {}
        self.repeats = 0
        self.open = asyncio.Event()
        self.open.set()
        self._moved = asyncio.Condition()

    async def send(self, lines: Sequence[Line]) -> Taken:
        await self.open.wait()
        async with self._moved:
            for line in lines:
                self.repeats += (line.stream, line.position) in self.lines
                self.lines.setdefault((line.stream, line.position), line)
            self._moved.notify_all()
        return Taken(stored=len(lines))

    @property
    def messages(self) -> list[str]:
        return [line.message for line in self.lines.values()]

    async def until(self, enough: Callable[[list[str]], bool], seconds: float = 40) -> None:
        async with self._moved:
            try:
                async with asyncio.timeout(seconds):
                    await self._moved.wait_for(lambda: enough(self.messages))
            except TimeoutError:
                raise AssertionError(f"only these came: {self.messages[-20:]}") from None


@asynccontextmanager
async def shipping(cluster: Cluster, records: Records) -> AsyncIterator[Shipper]:
    shipper = Shipper(cluster, records)
    task = asyncio.create_task(shipper.run())
    try:
        yield shipper
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def a_pod(cluster: Cluster, program: str, **spec: object) -> str:
    """A server's pod that runs a few lines of Python."""
    deployment_id = uuid4()
    name = f"server-{plain.short(deployment_id)}-1-{uuid4().hex[:5]}"
    labels = {**names.of_deployment(cluster.plane, deployment_id), names.REVISION: "1", names.ROLE: "server"}
    container = {"name": "server", "image": IMAGE, "command": ["python3", "-u", "-c", program]}
    await cluster.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": cluster.namespace, "labels": labels},
            "spec": {"containers": [container], "terminationGracePeriodSeconds": 1, **spec},
        }
    )
    return name


async def test_lines_come_with_their_replica_and_level(cluster: Cluster) -> None:
    records = Records()
    async with shipping(cluster, records):
        said = json.dumps({"event": "hello", "level": "warning"})
        name = await a_pod(
            cluster,
            f"import time; print({said!r}); print('x' * 300000)\n"
            "try: 1 / 0\nexcept Exception: import traceback; traceback.print_exc()\n"
            "time.sleep(1000)",
        )
        await records.until(lambda said: any("ZeroDivisionError" in one for one in said))
        hello = next(line for line in records.lines.values() if line.message == "hello")
        assert (hello.level, hello.kind, hello.number) == ("WARNING", "deploy", 1)
        assert hello.replica == name.rpartition("-")[2]
        broken = next(line for line in records.lines.values() if "ZeroDivisionError" in line.message)
        assert broken.message.startswith("Traceback")
        assert broken.level == "ERROR"
        assert any(one.startswith("xxx") and "characters cut" in one for one in records.messages)
        assert not any("Z xxx" in one for one in records.messages)


async def test_every_life_is_read_to_its_end(cluster: Cluster) -> None:
    """Also one that died before anybody read, and one that dies while the records are away."""
    records = Records()
    program = (
        "import os, time; f = '/seen/lives'\n"
        "n = len(open(f).read()) if os.path.exists(f) else 0\n"
        "open(f, 'a').write('x'); print(f'life {n} begins')\n"
        # Of two that ended a node keeps the last: the second lives until the first has been read.
        "time.sleep(1.0 if n == 0 else 6.0 if n < 3 else 1000); print(f'life {n} ends'); os._exit(1)"
    )
    mounts = [{"name": "seen", "mountPath": "/seen"}]
    container = {
        "name": "server",
        "image": IMAGE,
        "command": ["python3", "-u", "-c", program],
        "volumeMounts": mounts,
    }
    volumes = [{"name": "seen", "emptyDir": {}}]
    name = await a_pod(cluster, program, containers=[container], volumes=volumes)
    await until_restarted(cluster, name, 1)
    async with shipping(cluster, records):
        await records.until(lambda said: "life 0 ends" in said and "life 1 begins" in said)
        records.open.clear()
        await until_restarted(cluster, name, 2)
        records.open.set()
        await records.until(lambda said: "life 1 ends" in said and "life 2 begins" in said)
    before = dict(records.lines)
    async with shipping(cluster, records):
        await records.until(lambda said: records.repeats > 0)
        await until_restarted(cluster, name, 3, seconds=60)
        await records.until(lambda said: "life 2 ends" in said and "life 3 begins" in said)
    assert before.items() <= records.lines.items()
    assert sorted(set(records.messages)) == sorted(records.messages), "a line was told twice"
    order = [line.message for line in sorted(records.lines.values(), key=lambda line: line.at)]
    assert order == [f"life {n} {what}" for n in range(4) for what in ("begins", "ends")][:-1]


async def test_what_a_pod_says_while_it_ends_is_read(cluster: Cluster) -> None:
    records = Records()
    async with shipping(cluster, records):
        name = await a_pod(
            cluster,
            "import signal, sys, time\n"
            "def end(*_): print('last words'); sys.exit()\n"
            "signal.signal(signal.SIGTERM, end); print('ready'); time.sleep(1000)",
            terminationGracePeriodSeconds=10,
        )
        await records.until(lambda said: "ready" in said)
        await cluster.delete(POD, name)
        await records.until(lambda said: "last words" in said)


async def until_restarted(cluster: Cluster, name: str, times: int, seconds: float = 40) -> None:
    async with asyncio.timeout(seconds):
        while True:
            pod = await cluster.get(POD, name)
            assert pod is not None
            statuses = pod["status"].get("containerStatuses", [])
            if statuses and statuses[0]["restartCount"] >= times and "running" in statuses[0]["state"]:
                return
            await asyncio.sleep(0.1)
