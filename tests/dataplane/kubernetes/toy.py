"""A deployment of the simplest server there is, on a real cluster, and the upkeep of it: for what befalls objects and
pods, whatever runs in them. How the real servers are made is held to its word elsewhere.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx

from dataplane.flavours import ServerFlavour
from dataplane.kubernetes import names, processes
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.kinds import DEPLOYMENT, INGRESS, POD, SECRET, SERVICE, Manifest
from dataplane.kubernetes.orphans import Orphans
from dataplane.kubernetes.ours import SETTLE, Ours
from dataplane.kubernetes.remedies import Remedies
from dataplane.kubernetes.sight import ServerSight
from dataplane.kubernetes.survey import Survey
from dataplane.kubernetes.upkeep import KubernetesUpkeep
from dataplane.kubernetes.watch import LATE, Watch
from dataplane.local.pulse import Pulse
from dataplane.plane import Tell
from tests.cluster import REGISTRY
from tests.wishes import a_wish
from workflows import names as plain
from workflows.drift import ANSWERS, SILENT, Difference, Fact, compare
from workflows.shapes import Flavour, Image, Plan, Sighting, Wish
from workflows.surveys import Seen

SECRET_VALUE = "hunter2-hunter2"
PROGRAM = """
import http.server, os, sys, threading, time
print('up as', os.environ['REVISION'], flush=True)
class Door(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == '/die':
            print('about to die of', os.environ['PASSWORD'], flush=True)
            os._exit(3)
        if self.path == '/hang':
            time.sleep(1000)
        self.send_response(200); self.send_header('x-graphyard-revision', os.environ['REVISION'])
        self.end_headers(); self.wfile.write(b'ok')
    def log_message(self, *_): pass
http.server.HTTPServer(('', 8000), Door).serve_forever()
"""


class Toy:
    """Builders, servers, databases and images of one plane, all in one: there is little of each."""

    def __init__(self, cluster: Cluster, ours: Ours, digest: str) -> None:
        self._cluster = cluster
        self._ours = ours
        self.digest = digest
        self.there = True
        """Whether the registry has the image."""

    async def revision(self, wish: Wish) -> list[Manifest]:
        labels = {**names.of_revision(self._cluster.plane, wish), names.ROLE: "server"}
        secret = names.environment(wish.deployment_id, wish.number, "0123456789")
        container = {
            "name": "server",
            "image": f"{REGISTRY}/python@{wish.image}",
            "command": ["python3", "-u", "-c", PROGRAM],
            "env": [{"name": "REVISION", "value": str(wish.number)}],
            "envFrom": [{"secretRef": {"name": secret}}],
            "ports": [{"name": "http", "containerPort": 8000, "protocol": "TCP"}],
            "resources": {"limits": {"memory": "128Mi"}, "requests": {"memory": "32Mi", "cpu": "0.01"}},
            "readinessProbe": {
                "httpGet": {"path": "/ok", "port": 8000},
                "periodSeconds": 1,
                # One that only answers late, on a machine that others share, is not to flap.
                "timeoutSeconds": 2,
                "failureThreshold": 3,
            },
        }
        template = {
            "metadata": {"labels": labels},
            "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
        }
        spec = {
            "replicas": wish.replicas,
            "selector": {"matchLabels": labels},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": template,
        }
        name = names.server(wish.deployment_id, wish.number)
        return [
            self._object(wish, "v1", "Secret", secret, stringData={"PASSWORD": SECRET_VALUE}),
            self._object(wish, "apps/v1", "Deployment", name, spec=spec),
        ]

    async def door(self, wish: Wish) -> list[Manifest]:
        labels = {names.SHORT: plain.short(wish.deployment_id), names.REVISION: str(wish.number)}
        ports = [{"name": "http", "port": 8000, "targetPort": 8000, "protocol": "TCP"}]
        name = names.agent(wish)
        backend = {"service": {"name": name, "port": {"number": 8000}}}
        path = {"path": f"/d/{name}", "pathType": "Prefix", "backend": backend}
        service = {"selector": {**labels, names.ROLE: "server"}, "ports": ports}
        return [
            self._object(wish, "v1", "Service", name, spec=service),
            self._object(
                wish,
                "networking.k8s.io/v1",
                "Ingress",
                name,
                spec={"rules": [{"host": "agents.test", "http": {"paths": [path]}}]},
            ),
        ]

    async def secrets(self, wish: Wish) -> frozenset[str]:
        return frozenset({SECRET_VALUE})

    async def token(self, wish: Wish) -> str:
        return "token"

    async def apply(self, wish: Wish) -> None:
        with self._ours.during(wish.deployment_id):
            for one in await self.revision(wish):
                await self._cluster.apply(one)

    async def until_ready(self, wish: Wish, tell: Tell) -> None:
        async with asyncio.timeout(60):
            while True:
                labels = {**names.of_revision(self._cluster.plane, wish), names.ROLE: "server"}
                pods = processes.living(await self._cluster.all(POD, labels))
                if sum(processes.ready(pod) for pod in pods) >= wish.replicas:
                    return
                tell("waiting")
                await asyncio.sleep(0.2)

    async def switch(self, wish: Wish) -> None:
        with self._ours.during(wish.deployment_id):
            for one in await self.door(wish):
                await self._cluster.apply(one)

    async def discard(self, wish: Wish) -> None:
        with self._ours.during(wish.deployment_id):
            labels = names.of_revision(self._cluster.plane, wish)
            for kind in (DEPLOYMENT, SECRET):
                for one in await self._cluster.all(kind, labels):
                    await self._cluster.delete(kind, one["metadata"]["name"], propagation="Foreground")
            async with asyncio.timeout(60):
                while processes.living(await self._cluster.all(POD, labels)):
                    await asyncio.sleep(0.2)

    async def provision(self, wish: Wish) -> None: ...

    async def remove(self, wish: Wish) -> None: ...

    async def observe(self, wish: Wish) -> Sighting:
        raise NotImplementedError

    async def facts(self, wish: Wish) -> list[Fact]:
        raise ConnectionError("there is no database here")

    async def surveyed(self) -> dict[str, Seen]:
        return {}

    async def exists(self, wish: Wish) -> bool:
        return self.there

    async def preflight(self, wish: Wish) -> Plan:
        raise NotImplementedError

    async def build(self, wish: Wish, tell: Tell) -> Image:
        self.there = True
        return Image(
            digest=self.digest,
            source_digest="",
            lock_digest="",
            server="toy",
            builder="toy",
            python="3.11",
            size=1,
        )

    async def collect(self, keep: set[str]) -> int:
        return 0

    def _object(self, wish: Wish, version: str, kind: str, name: str, **parts: Any) -> Manifest:
        labels = names.of_deployment(self._cluster.plane, wish.deployment_id)
        if kind in ("Secret", "Deployment"):
            labels = {**names.of_revision(self._cluster.plane, wish), names.ROLE: "server"}
        annotations = {names.ID: str(wish.deployment_id)}
        metadata = {
            "name": name,
            "namespace": self._cluster.namespace,
            "labels": labels,
            "annotations": annotations,
        }
        return {"apiVersion": version, "kind": kind, "metadata": metadata, **parts}


class ToyReplica:
    """One server, asked at its pod's own address."""

    def __init__(self, wish: Wish, address: str) -> None:
        self._url = f"http://{address}:8000"
        self._number = wish.number

    async def health(self, flavour: ServerFlavour, timeout: float = 2.0) -> str:
        async with httpx.AsyncClient(timeout=timeout, trust_env=False) as client:
            try:
                answer = await client.get(f"{self._url}/ok")
            except httpx.ConnectError:
                return "unreachable"
            except httpx.HTTPError:
                return f"{SILENT} for {timeout:.0f} s"
        number = answer.headers["x-graphyard-revision"]
        return ANSWERS if number == str(self._number) else f"answering as revision {number}"

    async def pulse(self, token: str, timeout: float = 4.0) -> Pulse | None:
        return None

    async def send(self, path: str) -> None:
        """To a place that does something; it need not answer."""
        async with httpx.AsyncClient(timeout=1, trust_env=False) as client:
            with contextlib.suppress(httpx.HTTPError):
                await client.get(f"{self._url}{path}")


class Yard:
    """One plane with one deployment that serves."""

    def __init__(self, cluster: Cluster, toy: Toy, upkeep: KubernetesUpkeep, wish: Wish, ours: Ours) -> None:
        self.cluster = cluster
        self.ours = ours
        self.toy = toy
        self.upkeep = upkeep
        self.wish = wish
        self.slug = names.agent(wish)
        self.deployment = names.server(wish.deployment_id, wish.number)

    async def at_rest(self) -> None:
        """Until nothing that happens can be our own doing any more."""
        async with asyncio.timeout(SETTLE + LATE + 5):
            while self.ours.covers(self.wish.deployment_id, time.time() - LATE, time.time()):
                await asyncio.sleep(0.1)

    async def differences(self) -> list[Difference]:
        seen = await self.upkeep.sight(self.wish)
        return compare(self.wish, seen.facts, frozenset(seen.looked))

    async def present(self) -> list[Difference]:
        return [one for one in await self.differences() if not one.past]

    async def until(
        self, enough: Callable[[list[Difference]], bool], seconds: float = 40
    ) -> list[Difference]:
        found: list[Difference] = []
        try:
            async with asyncio.timeout(seconds):
                while not enough(found := await self.differences()):
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise AssertionError(f"this is what differs: {found}") from None
        return found

    async def pods(self) -> list[Manifest]:
        labels = {**names.of_revision(self.cluster.plane, self.wish), names.ROLE: "server"}
        return processes.living(await self.cluster.all(POD, labels))

    async def by_hand(self, kind: Any, name: str, patch: Any) -> None:
        """As `kubectl patch` does it."""
        path = await self.cluster.path(kind, name, None)
        content = "application/strategic-merge-patch+json"
        query = {"fieldManager": "kubectl-patch"}
        await self.cluster.ask("PATCH", path, query=query, body=patch, content=content)


@asynccontextmanager
async def a_yard(cluster: Cluster, *, replicas: int = 1) -> AsyncIterator[Yard]:
    """It serves; its namespace goes with the cluster's fixture."""
    ours = Ours()
    toy = Toy(cluster, ours, await digest_of("python", "3.11"))
    upkeep = KubernetesUpkeep(
        servers=ServerSight(cluster, toy, ToyReplica, stuck_seconds=10),
        postgres=toy,
        redis=toy,
        exists=toy.exists,
        remedies=Remedies(
            cluster, toy, toy, toy, toy, ToyReplica, ours, stuck_seconds=3, progress_seconds=60
        ),
        watch=Watch(cluster, ours).changes,
        survey=Survey(cluster, toy).pages,
        remove_orphan=Orphans(cluster, "postgresql://nobody@127.0.0.1:1/none").remove,
    )
    wish = a_wish(flavour=Flavour.INMEM, image=toy.digest, replicas=replicas, archive=None, image_uri="toy")
    yard = Yard(cluster, toy, upkeep, wish, ours)
    await toy.apply(wish)
    await toy.until_ready(wish, print)
    await toy.switch(wish)
    yield yard


async def digest_of(repository: str, tag: str) -> str:
    """Of an image in the cluster's registry."""
    kinds = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.head(
            f"http://{REGISTRY}/v2/{repository}/manifests/{tag}", headers={"Accept": kinds}
        )
    answer.raise_for_status()
    return answer.headers["docker-content-digest"]


__all__ = ["DEPLOYMENT", "INGRESS", "POD", "SECRET", "SERVICE", "Yard", "a_yard"]
