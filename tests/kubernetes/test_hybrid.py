"""A plane whose worker is behind somebody's wall: it reaches Temporal, the API's internal door, the registry and its
own cluster, nothing else, and nobody reaches it. It builds, rolls out, serves and removes all the same."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml  # type: ignore[import-untyped]

from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.kinds import DEPLOYMENT, POD, SERVICE
from tests.cluster import DOOR, kubeconfig
from tests.deploy.helm import chart
from tests.deploy.helm.release import Led, Release, answered, build, releasing
from tests.journeys.yard import Yard, project
from tests.kubernetes import walled
from tests.kubernetes.installed import HOST, RELAY, SLIM, left_at, plane_defaults, relayed
from tests.kubernetes.walled import Address, Wall, Way, knock

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

CHECKOUT = Path(__file__).parents[2]
PATIENCE = 300.0
PLANE = "main"
REGISTRY = RELAY + 1
"""A relay of this test's own: that of the shared installation may be there meanwhile."""
HEALTH = 8080
"""Where the worker tells how it is: the one port that it listens on."""
NOBODY = "198.51.100.1", 443
"""An address of the internet that documents are written with."""


@pytest.fixture(scope="module")
def images() -> Iterator[None]:
    kubeconfig()
    build("server", "builder", "valkey")
    with relayed(REGISTRY):
        yield


@pytest.fixture
async def release(images: None) -> AsyncIterator[Release]:
    """A control plane that has a plane and no worker for it. The cluster's ingress leads to agents alone, as that of
    somebody else's cluster would."""
    async with releasing() as made:
        values = made.values(
            api={"replicas": 1, "ingress": {"enabled": False}},
            planeDefaults=plane_defaults(REGISTRY),
            settings={"sweepSeconds": 5, "progressSeconds": 60},
        )
        values["planes"][0] |= {
            "replicas": 0,
            "databases": {"mode": "dedicated"},
            "url": f"http://agents.{made.host}",
        }
        await made.install(values)
        await made.until_rolled_out()
        yield made


async def address(cluster: Cluster, service: str, namespace: str | None = None) -> Address:
    found = await cluster.get(SERVICE, service, namespace)
    assert found is not None
    return str(found["spec"]["clusterIP"]), int(found["spec"]["ports"][0]["port"])


async def pods(cluster: Cluster) -> dict[str, str]:
    """Their addresses, by what they are part of. Of one that is done somebody else may have it by now."""
    return {
        one["metadata"]["labels"]["app.kubernetes.io/component"]: one["status"]["podIP"]
        for one in await cluster.all(POD, {})
        if one["status"]["phase"] == "Running"
    }


async def its_own_kubeconfig(release: Release, leads: Address, place: Path) -> Path:
    """That of the plane's account."""
    account = f"gy-graphyard-plane-{PLANE}"
    path = f"/api/v1/namespaces/{release.cluster.namespace}/serviceaccounts/{account}/token"
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": 3600},
    }
    token = (await release.cluster.ask("POST", path, body=request))["status"]["token"]
    config = yaml.safe_load(kubeconfig().read_text())
    current = next(one for one in config["contexts"] if one["name"] == config["current-context"])
    config["users"] = [{"name": current["context"]["user"], "user": {"token": token}}]
    cluster = next(one for one in config["clusters"] if one["name"] == current["context"]["cluster"])
    cluster["cluster"]["server"] = f"https://{leads[0]}:{leads[1]}"
    place.write_text(yaml.safe_dump(config))
    return place


async def given(release: Release, temporal: Address, internal: Address, folder: Path) -> dict[str, str]:
    """What the chart gives the plane's worker, with addresses instead of names, and files of its own."""
    found = await release.cluster.get(DEPLOYMENT, f"gy-graphyard-plane-{PLANE}")
    assert found is not None
    keys = folder / "sealing.keys"
    keys.write_text((await release.secret("sealing"))["sealing.keys"])
    # From inside, the machine's own loopback is somebody else's: the cluster has an address that leads everywhere.
    kubernetes = await address(release.cluster, "kubernetes", "default")
    return {name: value for name, value in chart.variables(found).items() if isinstance(value, str)} | {
        "GRAPHYARD_HOME": str(folder / "home"),
        "GRAPHYARD_PLANE_TOKEN": (await release.secret("planes"))[PLANE],
        "GRAPHYARD_API_URL": f"http://{internal[0]}",
        "GRAPHYARD_TEMPORAL_ADDRESS": f"{temporal[0]}:{temporal[1]}",
        "GRAPHYARD_SEALING_KEYS": str(keys),
        "GRAPHYARD_KUBERNETES_KUBECONFIG": str(
            await its_own_kubeconfig(release, kubernetes, folder / "kubeconfig")
        ),
    }


@asynccontextmanager
async def worker(wall: Wall, variables: dict[str, str], log: Path) -> AsyncIterator[None]:
    """A plane's worker of this checkout, inside; what fails beside it tells its last words."""
    env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *wall.inside, sys.executable, "-P", "-m", "deploy.cli", "worker", "--plane",
            cwd=CHECKOUT, env=env | variables, stdout=file, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
    try:
        yield
    except Exception as error:
        error.add_note(log.read_text()[-4000:])
        raise
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(60):
            await process.wait()


async def until_swept(yard: Yard) -> None:
    """A sweep is a step of the plane's: asked for over Temporal, told to the API."""
    async with asyncio.timeout(PATIENCE):
        while True:
            answer = await yard.http.get(f"/v2/listeners/{PLANE}/drift")
            told = answer.json() if answer.status_code == 200 else {}
            if told.get("status") == "online" and told.get("swept"):
                return
            await asyncio.sleep(0.5)


async def a_whole_life(yard: Yard, release: Release) -> None:
    """Built, provisioned, rolled out, proven, switched, asked; and removed with all that it had."""
    made = await yard.create("walled")
    # A source that nobody built before.
    revision = await yard.push(made["id"], {**project(), "namespace": release.agents}, resources=SLIM)
    url = (await yard.deployed(made["id"], revision, PATIENCE))["url"]
    built = await yard.call("POST", f"/v1/projects/{made['id']}/revisions/{revision}/build_logs", {})
    assert any(one["message"].startswith("STEP 1/") for one in built["logs"]), built
    assert await left_at(release.cluster, release.agents, made["id"])
    assert await answered(url, timeout=30) == "X"
    await yard.delete(made["id"], purge=True)
    await yard.until_gone(made["id"], PATIENCE)
    assert await left_at(release.cluster, release.agents, made["id"]) == []


async def check(wall: Wall, allowed: list[Address], forbidden: list[Address]) -> None:
    """The wall lets out whom it should, and it alone holds back the others."""
    async with asyncio.timeout(30):
        for one in (*allowed, *forbidden):
            # A Service leads to its pods a moment after they are ready.
            while await knock(one) != "open":
                await asyncio.sleep(0.2)
    for one in allowed:
        assert await wall.knock(one) == "open", one
    # Whoever got out to nobody would hear nothing.
    for one in (*forbidden, NOBODY):
        assert await wall.knock(one) == "ConnectionRefusedError", one


async def test_a_plane_works_from_behind_a_wall(release: Release, tmp_path: Path) -> None:
    api, internal, postgres, temporal = [
        await address(release.cluster, f"gy-graphyard-{one}")
        for one in ("api", "internal", "postgres", "temporal")
    ]
    allowed = [temporal, internal, (HOST, REGISTRY)]
    its_own = [await address(release.cluster, "kubernetes", "default"), (HOST, urlsplit(DOOR).port or 80)]
    # By an accident of this test the control plane has its pods in the plane's cluster, and this machine is in their
    # network: both are refused before the rest of it is allowed.
    control_plane = await pods(release.cluster)
    ways = [Way(*one) for one in (*allowed, *its_own)]
    ways += [Way(one, open=False) for one in (HOST, *control_plane.values())]
    ways += [Way(f"{HOST}/24")]
    variables = await given(release, temporal, internal, tmp_path)
    key = (await release.secret("bootstrap"))["api-key"]
    async with (
        walled.walled(ways) as wall,
        await asyncio.start_server(lambda _, writer: writer.close(), "0.0.0.0", 0) as another,
        Yard(f"http://{release.host}", key, transport=Led(f"http://{api[0]}:{api[1]}")) as yard,
    ):
        port = another.sockets[0].getsockname()[1]
        forbidden = [postgres, api, (control_plane["postgres"], 5432), (control_plane["api"], 8000)]
        await check(wall, [*allowed, *its_own], [*forbidden, (HOST, port), (walled.HOST, port)])
        await wall.forget()
        async with worker(wall, variables, tmp_path / "worker.log"):
            await until_swept(yard)
            assert await wall.knock(("127.0.0.1", HEALTH)) == "open"
            assert await knock((walled.INSIDE, HEALTH)) != "open"
            await a_whole_life(yard, release)
        assert await wall.refused() == [], "the worker wanted more than it may"
