"""The watch over a cluster: what others do is told at once, what we do is not, what happened meanwhile comes
first, and an idle plane asks little."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest

from dataplane.kubernetes import names
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.kinds import CONFIG_MAP, DEPLOYMENT, KINDS, SECRET, SERVICE, Manifest
from dataplane.kubernetes.remembered import Remembered
from dataplane.kubernetes.watch import Watch
from tests.cluster import REGISTRY

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(90)]

SOON = 2.0


class Busy:
    """Whom we are at work on."""

    def __init__(self) -> None:
        self.ids: set[UUID] = set()

    def covers(self, deployment_id: UUID, first: float, last: float) -> bool:
        return deployment_id in self.ids


class Catalog:
    """What Postgres shows."""

    def __init__(self) -> None:
        self.said: dict[str, str] = {}
        self.away = False

    async def listed(self) -> dict[str, str]:
        if self.away:
            raise ConnectionError
        return dict(self.said)

    async def look_inside(self) -> None:
        pass


class Ear:
    """Everything that a watch tells, and how soon."""

    def __init__(self) -> None:
        self.told: list[UUID] = []
        self.signs = 0
        self._moved = asyncio.Condition()

    async def listen(self, changes: AsyncIterator[set[UUID]]) -> None:
        async for changed in changes:
            async with self._moved:
                self.told += changed
                self.signs += 1
                self._moved.notify_all()

    async def until(self, enough: Callable[["Ear"], bool], seconds: float) -> None:
        async with asyncio.timeout(seconds), self._moved:
            await self._moved.wait_for(lambda: enough(self))

    async def hears(self, deployment_id: UUID, seconds: float = SOON) -> None:
        """Within the time that people notice, and then no more of it."""
        await self.until(lambda ear: deployment_id in ear.told, seconds)
        self.told.clear()

    async def hears_nothing(self) -> None:
        """For as long as two signs of life take that came after."""
        await self.passes()
        assert self.told == []

    async def passes(self) -> None:
        signs = self.signs + 3
        await self.until(lambda ear: ear.signs >= signs, 20)


@asynccontextmanager
async def listening(watch: Watch) -> AsyncIterator[Ear]:
    ear = Ear()
    task = asyncio.create_task(ear.listen(watch.changes()))
    try:
        await ear.passes()
        yield ear
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def labelled(cluster: Cluster, deployment_id: UUID, kind: str, name: str, **parts: Any) -> Manifest:
    labels = {**names.of_deployment(cluster.plane, deployment_id), names.REVISION: "1", names.ROLE: "server"}
    metadata = {"name": name, "labels": labels, "annotations": {names.ID: str(deployment_id)}}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **parts}


async def a_deployment(cluster: Cluster, deployment_id: UUID, replicas: int = 0) -> None:
    short = deployment_id.hex[:8]
    labels = {**names.of_deployment(cluster.plane, deployment_id), names.REVISION: "1", names.ROLE: "server"}
    container = {
        "name": "server",
        "image": f"{REGISTRY}/python:3.11",
        "command": ["python3", "-c", "import time; time.sleep(1000)"],
    }
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    made = labelled(cluster, deployment_id, "Deployment", f"server-{short}-1", spec=spec)
    await cluster.apply({**made, "apiVersion": "apps/v1"})
    ports = [{"name": "http", "port": 8000, "protocol": "TCP"}]
    service = {"selector": labels, "ports": ports}
    await cluster.apply(labelled(cluster, deployment_id, "Service", f"agent-{short}", spec=service))
    await cluster.apply(
        labelled(cluster, deployment_id, "Secret", f"server-{short}-1-x", stringData={"A": "1"})
    )


async def by_hand(cluster: Cluster, kind: str, name: str, patch: dict[str, Any]) -> None:
    path = await cluster.path(KINDS[kind], name, None)
    content = "application/merge-patch+json"
    await cluster.ask("PATCH", path, query={"fieldManager": "kubectl-patch"}, body=patch, content=content)


@pytest.mark.apilevel
async def test_what_others_do_is_told_at_once(cluster: Cluster) -> None:
    one, busy = uuid4(), Busy()
    short = one.hex[:8]
    async with listening(Watch(cluster, busy)) as ear:
        await a_deployment(cluster, one, replicas=1)
        await ear.hears_nothing()
        await by_hand(cluster, "Deployment", f"server-{short}-1", {"spec": {"replicas": 2}})
        await ear.hears(one)
        await by_hand(cluster, "Service", f"agent-{short}", {"spec": {"selector": {names.REVISION: "2"}}})
        await ear.hears(one)
        await by_hand(cluster, "Secret", f"server-{short}-1-x", {"stringData": {"A": "2"}})
        await ear.hears(one)
        for kind, name in ((SECRET, f"server-{short}-1-x"), (SERVICE, f"agent-{short}")):
            await cluster.delete(kind, name)
            await ear.hears(one, 5)
        await cluster.delete(DEPLOYMENT, f"server-{short}-1")
        await ear.hears(one, 10)


async def test_a_pod_of_what_serves_is_missed(cluster: Cluster) -> None:
    one = uuid4()
    async with listening(Watch(cluster, Busy())) as ear:
        await a_deployment(cluster, one, replicas=1)
        (pod,) = await until_pods(cluster, one, 1)
        await ear.hears_nothing()
        await cluster.delete(KINDS["Pod"], pod)
        await ear.hears(one)
        # It was told of, so that it is well again is told of too.
        await ear.hears(one, 20)


async def test_our_own_doing_is_not_told(cluster: Cluster) -> None:
    one, busy = uuid4(), Busy()
    short = one.hex[:8]
    async with listening(Watch(cluster, busy)) as ear:
        await a_deployment(cluster, one)
        await a_deployment(cluster, one, replicas=1)
        await until_pods(cluster, one, 1)
        await ear.hears_nothing()
        busy.ids.add(one)
        await cluster.delete(SECRET, f"server-{short}-1-x")
        await cluster.delete(DEPLOYMENT, f"server-{short}-1")
        await until_pods(cluster, one, 0)
        await ear.passes()
        busy.ids.clear()
        await ear.hears_nothing()


@pytest.mark.apilevel
async def test_what_happened_meanwhile_comes_first(cluster: Cluster) -> None:
    one, other = uuid4(), uuid4()
    for deployment_id in (one, other):
        await a_deployment(cluster, deployment_id)
    watch = Watch(cluster, Busy(), memory=Remembered(cluster))
    async with listening(watch) as ear:
        await ear.until(lambda ear: {*ear.told} == {one, other}, 5)
    await by_hand(cluster, "Secret", f"server-{one.hex[:8]}-1-x", {"stringData": {"A": "2"}})
    async with listening(watch) as ear:
        await ear.hears(one)
    await cluster.delete(SERVICE, f"agent-{other.hex[:8]}")
    async with listening(Watch(cluster, Busy(), memory=Remembered(cluster))) as ear:
        await ear.hears(other)
        for deployment_id in (one, other):
            short = deployment_id.hex[:8]
            await cluster.delete(SECRET, f"server-{short}-1-x")
            await cluster.delete(SERVICE, f"agent-{short}")
            await cluster.delete(DEPLOYMENT, f"server-{short}-1")
        async with asyncio.timeout(20):
            while await cluster.get(CONFIG_MAP, f"watched-{cluster.plane}"):
                await asyncio.sleep(0.1)


@pytest.mark.apilevel
async def test_databases_are_watched_beside(cluster: Cluster) -> None:
    one, busy, catalog = uuid4(), Busy(), Catalog()
    await a_deployment(cluster, one)
    short = one.hex[:8]
    catalog.said[short] = "as it was"
    async with listening(Watch(cluster, busy, catalogue=catalog)) as ear:
        await ear.hears(one)
        await ear.hears_nothing()
        catalog.away = True
        await ear.hears_nothing()
        catalog.away = False
        catalog.said[short] = "otherwise"
        await ear.hears(one, 5)
        busy.ids.add(one)
        catalog.said[short] = "as it was"
        await ear.hears_nothing()


@pytest.mark.apilevel
async def test_a_watch_goes_on_after_its_connections_broke(cluster: Cluster) -> None:
    """Everything is listed anew all the time here, and what changed between two lists is still told."""
    one = uuid4()
    async with listening(Watch(cluster, Busy(), anew=0.3)) as ear:
        await a_deployment(cluster, one)
        await ear.hears_nothing()
        await by_hand(cluster, "Deployment", f"server-{one.hex[:8]}-1", {"spec": {"paused": True}})
        await ear.hears(one)


@pytest.mark.apilevel
async def test_an_idle_plane_asks_as_little_for_many_as_for_one(cluster: Cluster) -> None:
    asked = []
    for count in (1, 20):
        for _ in range(count):
            await a_deployment(cluster, uuid4())
        async with listening(Watch(cluster, Busy())) as ear:
            await ear.passes()
            before = cluster.requests.total()
            began = time.monotonic()
            while time.monotonic() - began < 3:
                await ear.passes()
            asked.append(cluster.requests.total() - before)
    assert asked == [0, 0]


async def until_pods(cluster: Cluster, deployment_id: UUID, count: int) -> list[str]:
    """That many pods that run, and none besides."""
    labels = names.of_deployment(cluster.plane, deployment_id)
    async with asyncio.timeout(40):
        while True:
            pods = await cluster.all(KINDS["Pod"], labels)
            if len(pods) == count and all(pod["status"]["phase"] == "Running" for pod in pods):
                return [pod["metadata"]["name"] for pod in pods]
            await asyncio.sleep(0.1)
