"""Servers on a real cluster, with a stand-in for the server itself: a life from the first revision to nothing, and
every way to break that one node can show."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from dataplane.flavours import flavour
from dataplane.kubernetes import names
from dataplane.kubernetes.belongings import OF_SERVERS
from dataplane.kubernetes.builders import Builders
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.entrance import Entrance
from dataplane.kubernetes.kinds import INGRESS, SECRET
from dataplane.kubernetes.ours import Ours
from dataplane.kubernetes.servers import KubernetesServers
from dataplane.kubernetes.site import Door
from sealing import Keyring
from tests.cluster import DOOR, REGISTRY, SLIM, a_site
from tests.dataplane.kubernetes.standin import REPOSITORY, pushed
from tests.wishes import a_wish
from workflows.causes import Code, Refused
from workflows.pods import Resources, SecretReference
from workflows.shapes import Flavour, ResourceKind, Wish

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

PASSWORD = "hunter2-hunter2"
NOWHERE = f"sha256:{'0' * 64}"
OTHER_DOOR = Door(public_url=f"{DOOR}/nowhere")


class Databases:
    def postgres_uri(self, wish: Wish) -> str:
        return "postgresql://nobody@127.0.0.1:1/none"

    def redis_uri(self, wish: Wish) -> str:
        return "redis://127.0.0.1:1/0"


class Yard:
    """The servers of one plane, and wishes of one deployment on it."""

    def __init__(self, cluster: Cluster, keys: Path, digest: str) -> None:
        self.cluster = cluster
        self._keys = keys
        self._digest = digest
        self._first = a_wish()
        self.site = a_site(cluster.namespace, keys, progress_seconds=6.0, drain_seconds=1.0)
        self.builders = Builders(self.site, cluster, Databases())
        self.told: list[str] = []
        self.there = True
        self.servers = self.at(self.site.door)

    def at(self, door: Door, patience: float = 20, progress: float = 6) -> KubernetesServers:
        """Servers that look at this door."""
        entrance = Entrance(door, patience=patience)
        return KubernetesServers(
            self.cluster, self.builders, entrance, Ours(), self._exists, progress_seconds=progress, settle=2
        )

    def wish(self, number: int = 1, variables: dict[str, str] | None = None, **fields: Any) -> Wish:
        ring, owner = Keyring.load(self._keys), str(self._first.deployment_id)
        values = {"PASSWORD": PASSWORD, "STANDIN_VERSION": flavour(Flavour.PG).version, **(variables or {})}
        told: dict[str, Any] = {
            "number": number,
            "source": "external_docker",
            "image_uri": f"{REGISTRY}/{REPOSITORY}:any",
            "image": self._digest,
            "environment": ring.seal_map(values, owner),
            "credentials": ring.seal_map({"postgres": "pg-secret", "redis": "redis-secret"}, owner),
            "resources": SLIM,
        }
        kept = {"deployment_id": self._first.deployment_id, "revision_id": a_wish().revision_id}
        return a_wish(**{**kept, **told, **fields})

    async def up(self, wish: Wish) -> None:
        for _ in range(2):
            await self.servers.apply(wish)
        await self.servers.until_ready(wish, self.told.append)
        await self.servers.prove(wish)

    async def asked(self, path: str = "/ok", host: str = "") -> httpx.Response:
        url = f"{DOOR}{path}" if host else f"{DOOR}/d/{names.agent(self._first)}{path}"
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            return await client.get(url, headers={"Host": host} if host else {})

    async def left(self) -> list[str]:
        """All that is still there of the deployment."""
        wanted = names.of_deployment(self.cluster.plane, self._first.deployment_id)
        served = await self.cluster.served()
        return [
            f"{kind.name} {one['metadata']['name']}"
            for kind in OF_SERVERS
            if served.has(kind)
            for one in await self.cluster.all(kind, wanted)
        ]

    async def _exists(self, wish: Wish) -> bool:
        return self.there


@pytest.fixture
async def yard(cluster: Cluster, keys: Path) -> AsyncIterator[Yard]:
    found = Yard(cluster, keys, await pushed())
    yield found
    async with asyncio.timeout(120):
        await found.servers.remove(found.wish())


async def test_a_life(yard: Yard) -> None:
    first = yard.wish(1, replicas=2)
    await yard.up(first)
    seen = await yard.servers.observe(first)
    assert [(one.revision, one.index, one.healthy) for one in seen.replicas] == [(1, 0, True), (1, 1, True)]
    assert (seen.serving, {one.kind for one in seen.resources}) == (None, {ResourceKind.PROCESS})
    for _ in range(2):
        await yard.servers.switch(first)
    assert (await yard.servers.observe(first)).serving == 1

    second = yard.wish(2, hostnames=["my.example.test"])
    await yard.up(second)
    assert (await yard.asked()).headers["x-graphyard-revision"] == "1"
    await yard.servers.switch(second)
    assert (await yard.asked()).headers["x-graphyard-revision"] == "2"
    async with asyncio.timeout(10):
        while (await yard.asked("/ok", host="my.example.test")).status_code != 200:
            await asyncio.sleep(0.1)
    for _ in range(2):
        await yard.servers.retire(second, yard.told.append)
    seen = await yard.servers.observe(second)
    assert [(one.revision, one.healthy) for one in seen.replicas] == [(2, True)]
    assert (seen.serving, ResourceKind.ROUTE in {one.kind for one in seen.resources}) == (2, True)

    for _ in range(2):
        await yard.servers.remove(second)
    assert await yard.left() == []
    assert (await yard.servers.observe(second)).resources == []


async def test_other_values_of_the_same_revision_replace_its_pods_and_leave_no_secret(yard: Yard) -> None:
    await yard.up(yard.wish())
    changed = yard.wish(1, {"MORE": "value"})
    await yard.up(changed)
    wanted = names.of_revision(yard.cluster.plane, changed)
    assert len(await yard.cluster.all(SECRET, wanted)) == 1


async def test_a_door_that_does_not_lead_there_is_led_back(yard: Yard) -> None:
    first, second = yard.wish(1), yard.wish(2)
    await yard.up(first)
    await yard.servers.switch(first)
    await yard.up(second)
    with pytest.raises(Refused) as refused:
        await yard.at(OTHER_DOOR, patience=2).switch(second)
    assert refused.value.cause.code is Code.GATEWAY_FAILED
    assert (await yard.servers.observe(second)).serving == 1
    await yard.servers.discard(second)
    assert {one.revision for one in (await yard.servers.observe(second)).replicas} == {1}


async def test_the_first_door_that_does_not_lead_there_is_closed(yard: Yard) -> None:
    first = yard.wish(1)
    await yard.up(first)
    with pytest.raises(Refused):
        await yard.at(OTHER_DOOR, patience=2).switch(first)
    seen = await yard.servers.observe(first)
    assert seen.serving is None
    assert ResourceKind.ROUTE not in {one.kind for one in seen.resources}
    assert await yard.cluster.get(INGRESS, names.agent(first)) is None


async def test_an_image_that_is_gone_is_not_even_tried(yard: Yard) -> None:
    yard.there = False
    with pytest.raises(Refused) as refused:
        await yard.servers.apply(yard.wish())
    assert refused.value.cause.code is Code.IMAGE_GONE
    assert await yard.left() == []


async def test_a_graph_that_does_not_answer_is_no_proof(yard: Yard) -> None:
    wish = yard.wish(1, {"BREAKS": "graph"})
    await yard.servers.apply(wish)
    await yard.servers.until_ready(wish, yard.told.append)
    with pytest.raises(Refused) as refused:
        await yard.servers.prove(wish)
    assert refused.value.cause.code is Code.PROOF_FAILED
    assert "it does not load" in refused.value.cause.message


async def test_an_image_of_somebody_elses_serves(yard: Yard) -> None:
    await yard.up(yard.wish(flavour=Flavour.IMAGE))


@dataclass(frozen=True)
class Broken:
    """A revision that never comes up, and what is said of it."""

    code: Code
    says: str
    variables: dict[str, str] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    quota: bool = False
    still: bool = False
    """Whether it is told only once nothing has moved for a while; all else is told as soon as it is seen."""


CLAIM = {"name": "data", "persistentVolumeClaim": {"claimName": "no-such-claim"}}
BROKEN = {
    "image missing": Broken(Code.IMAGE_REFUSED, "cannot be pulled", fields={"image": NOWHERE}),
    "unschedulable": Broken(
        Code.UNSCHEDULABLE,
        "Insufficient cpu",
        fields={"resources": Resources(cpu=64, memory_mb=64)},
        still=True,
    ),
    "import": Broken(Code.IMPORT_FAILED, "no_such_module", {"BREAKS": "import"}),
    "crash loop": Broken(Code.CRASH_LOOP, "it will not work with", {"BREAKS": "exit"}),
    "out of memory": Broken(
        Code.OUT_OF_MEMORY,
        "memory",
        {"BREAKS": "memory"},
        {"resources": SLIM.model_copy(update={"memory_mb": 64})},
    ),
    "never answers": Broken(Code.PROBE_FAILING, "probe", {"BREAKS": "silence"}, still=True),
    "quota": Broken(Code.QUOTA_EXCEEDED, "exceeded quota", quota=True, still=True),
    "volume unbound": Broken(
        Code.VOLUME_UNBOUND,
        "no-such-claim",
        fields={
            "resources": Resources(
                cpu=0.1, volumes=[CLAIM], volume_mounts=[{"name": "data", "mountPath": "/data"}]
            )
        },
    ),
    "secret missing": Broken(
        Code.SECRET_MISSING,
        "no-such-secret",
        fields={
            "secret_references": [SecretReference(name="KEY", secret_name="no-such-secret", secret_key="key")]
        },
    ),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
async def test_what_never_comes_up_says_why(yard: Yard, broken: Broken) -> None:
    if broken.quota:
        quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}}
        path = f"/api/v1/namespaces/{yard.cluster.namespace}/resourcequotas"
        await yard.cluster.ask("POST", path, body={**quota, "spec": {"hard": {"pods": "0"}}})
    servers = yard.at(yard.site.door, progress=6 if broken.still else 80)
    wish = yard.wish(1, broken.variables, **broken.fields)
    await servers.apply(wish)
    with pytest.raises(Refused) as refused:
        async with asyncio.timeout(100):
            await servers.until_ready(wish, yard.told.append)
    cause = refused.value.cause
    assert (cause.code, broken.says in cause.message) == (broken.code, True), cause
    assert cause.fix
    assert PASSWORD not in f"{cause} {yard.told}"
    for _ in range(2):
        await yard.servers.discard(wish)
    assert (await yard.servers.observe(wish)).replicas == []
