"""One installation of the chart for all journeys: as an evaluation, through the cluster's own ingress, with agents in a
namespace of their own. It takes half a minute, so the tests share it; each leaves it as it was."""

import asyncio
import base64
import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import helm_python as helm
import httpx
import psycopg
import pytest

from dataplane.kubernetes import names
from dataplane.kubernetes.belongings import OF_SERVERS
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    JOB,
    POD,
    SECRET,
    SERVICE,
    STATEFUL_SET,
    VOLUME_CLAIM,
)
from tests.cluster import DOOR, REGISTRY, kubeconfig, namespaced
from tests.deploy.helm import chart
from tests.deploy.helm.release import OWN_IMAGE
from workflows import names as plain

BUILD = Path(__file__).parents[2] / "deploy" / "images" / "build"
HOST = os.environ.get("GRAPHYARD_TEST_HOST", "10.244.0.1")
"""This machine as pods see it: the registry on its loopback is reached through a relay there."""
RELAY = 5001
IMAGES = ("server", "builder", "valkey", "postgres", "temporal", "graphyard")
PATIENCE = 240.0
SLIM = {"cpu": 0.1, "cpu_limit": 2, "memory_mb": 512}
"""`resource_spec` for many at once on two cores; what starts is not held to what it needs later."""
KINDS = (*OF_SERVERS, STATEFUL_SET, VOLUME_CLAIM, JOB, CONFIG_MAP)


@dataclass(frozen=True)
class Installed:
    """What a caller of the installation knows, and where its pieces are for who looks behind it."""

    url: str
    api_key: str
    namespace: str
    agents: str
    temporal: str
    """Address of Temporal's frontend, as this machine reaches it."""
    postgres: str
    """DSN of the superuser, likewise."""

    async def at(self, namespace: str) -> Cluster:
        """The cluster at one of the installation's namespaces; whoever asks closes it."""
        return await Cluster.connect(kubeconfig(), namespace, "main")

    async def left_of(self, deployment: str) -> list[str]:
        """Whatever is there of a deployment: objects by its label, and its database and role."""
        cluster = await self.at(self.agents)
        try:
            found = await left_at(cluster, self.agents, deployment)
        finally:
            await cluster.close()
        return found + await asyncio.to_thread(self._in_postgres, plain.short(UUID(deployment)))

    def _in_postgres(self, short: str) -> list[str]:
        with psycopg.connect(self.postgres) as connection:
            rows = connection.execute(
                "select 'database ' || datname from pg_database where datname like %(like)s"
                " union all select 'role ' || rolname from pg_roles where rolname like %(like)s",
                {"like": f"%{short}"},
            )
            return [str(row[0]) for row in rows.fetchall()]


async def left_at(cluster: Cluster, namespace: str, deployment: str, plane: str = "main") -> list[str]:
    """What a plane's namespace has of a deployment, by its label."""
    served, labels = await cluster.served(), names.of_deployment(plane, UUID(deployment))
    return [
        f"{kind.name} {one['metadata']['name']}"
        for kind in KINDS
        if served.has(kind)
        for one in await cluster.all(kind, labels, namespace)
    ]


def values(agents: str) -> dict[str, object]:
    """An evaluation whose agents come from the registry on this machine."""
    images = f"{REGISTRY}/graphyard"
    own = {
        "image": OWN_IMAGE,
        "publicUrl": DOOR,
        "api": {"replicas": 2},
        "evaluation": {
            "enabled": True,
            "temporal": {"image": f"{images}/temporal:test"},
            "postgres": {"image": f"{images}/postgres:test"},
        },
        "planes": [{"name": "main", "namespace": agents}],
        "planeDefaults": plane_defaults(),
        "settings": {"progressSeconds": 45, "sweepSeconds": 20},
    }
    return chart.on_one_node(own)


def plane_defaults(relay: int = RELAY) -> dict[str, object]:
    """What planes have here that are to build and to serve."""
    images = f"{REGISTRY}/graphyard"
    return {
        "registry": {"address": REGISTRY, "api": f"http://{HOST}:{relay}", "insecure": True},
        "images": {
            "servers": {f"{name}-3.11": f"{images}/server:{name}-3.11" for name in ("pg", "inmem")},
            "builder": f"{images}/builder:test",
            "postgres": f"{images}/postgres:test",
            "valkey": f"{images}/valkey:test",
        },
        "door": {"address": f"http://{HOST}:{urlsplit(DOOR).port or 80}"},
        "builds": {"hostNetwork": True},
    }


@contextmanager
def relayed(relay: int = RELAY) -> Iterator[None]:
    """The registry on this machine's loopback, for pods."""
    host, _, port = REGISTRY.partition(":")
    listen = f"TCP-LISTEN:{relay},bind={HOST},fork,reuseaddr"
    process = subprocess.Popen(["socat", listen, f"TCP:{host}:{port}"], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while True:
            assert process.poll() is None, f"nobody may listen on {HOST}:{relay}: is another relay there?"
            with contextlib.suppress(OSError):
                socket.create_connection((HOST, relay), timeout=1).close()
                break
            assert time.monotonic() < deadline, "the relay to the registry does not listen"
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def installation() -> Iterator[Installed]:
    """Installed, ready, and taken away with everything that it made."""
    argv = [str(BUILD), "--registry", f"{REGISTRY}/graphyard", *IMAGES]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with asyncio.Runner() as runner, relayed():
        space = namespaced("gy-journey")
        cluster = runner.run(space.__aenter__())
        agents = f"{cluster.namespace}-agents"
        with helm.Config(kubeconfig_path=str(kubeconfig()), namespace=cluster.namespace) as config:
            try:
                config.install(str(chart.PLACE), chart.RELEASE, values(agents), timeout=120)
                yield runner.run(_ready(cluster, agents))
            finally:
                config.uninstall(chart.RELEASE, timeout=120, ignore_not_found=True)
                runner.run(cluster.ask("DELETE", f"/api/v1/namespaces/{agents}", missing=True))
                runner.run(space.__aexit__(None, None, None))


async def _ready(cluster: Cluster, agents: str) -> Installed:
    """Wait until the API answers through the ingress and every workload is as it should be."""
    async with asyncio.timeout(PATIENCE), httpx.AsyncClient(base_url=DOOR, trust_env=False) as http:
        while True:
            try:
                ready = (await http.get("/ready")).status_code == 200
            except httpx.TransportError:
                ready = False
            waiting = [
                one["metadata"]["name"]
                for one in await cluster.all(DEPLOYMENT, {})
                if (one.get("status") or {}).get("readyReplicas", 0) < one["spec"]["replicas"]
            ]
            if ready and not waiting:
                break
            await asyncio.sleep(0.5)
    key = await _secret(cluster, "bootstrap")
    admin = await _secret(cluster, "postgres")
    return Installed(
        url=DOOR,
        api_key=key["api-key"],
        namespace=cluster.namespace,
        agents=agents,
        temporal=f"{await _address(cluster, 'temporal')}:7233",
        postgres=psycopg.conninfo.make_conninfo(
            host=await _address(cluster, "postgres"),
            user=admin.get("username", "postgres"),
            password=admin["password"],
            dbname="postgres",
        ),
    )


async def _secret(cluster: Cluster, name: str) -> dict[str, str]:
    found = await cluster.get(SECRET, f"gy-graphyard-{name}")
    assert found is not None, name
    return {key: base64.b64decode(value).decode() for key, value in found["data"].items()}


async def _address(cluster: Cluster, name: str) -> str:
    found = await cluster.get(SERVICE, f"gy-graphyard-{name}")
    assert found is not None, name
    return str(found["spec"]["clusterIP"])


async def pods(cluster: Cluster, part: str) -> list[str]:
    """The names of a part's living pods (`api`, `control`, `plane-main`, `temporal`, `postgres`)."""
    found = await cluster.all(POD, {"app.kubernetes.io/component": part})
    return [one["metadata"]["name"] for one in found if "deletionTimestamp" not in one["metadata"]]


@pytest.fixture(scope="session")
def installed() -> Iterator[Installed]:
    kubeconfig()
    with installation() as made:
        yield made
