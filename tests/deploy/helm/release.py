"""A release of the chart on the real cluster, as tests handle one: in a namespace of its own, with a plane in another,
and reached through the ingress by a host name that nobody else has."""

import asyncio
import base64
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import helm_python as helm
import httpx
from langgraph_sdk.client import LangGraphClient

from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.kinds import DEPLOYMENT, SECRET, Manifest
from tests.cluster import DOOR, REGISTRY, kubeconfig, namespaced
from tests.deploy.helm import chart

BUILD = Path(__file__).parents[3] / "deploy" / "images" / "build"
PATIENCE = 180.0
OWN_IMAGE = {"repository": f"{REGISTRY}/graphyard/graphyard", "tag": "test", "pullPolicy": "Always"}


def build(*more: str) -> None:
    """Graphyard as it is in this checkout, what an evaluation starts beside it, and more; what is there costs a
    second."""
    argv = [str(BUILD), "--registry", f"{REGISTRY}/graphyard", "graphyard", "temporal", "postgres", *more]
    made = subprocess.run(argv, capture_output=True, text=True, timeout=500)
    assert made.returncode == 0, made.stderr


@dataclass
class Release:
    """One release in a namespace, and the way to its API through the ingress."""

    cluster: Cluster
    config: helm.Config
    agents: str
    host: str
    http: httpx.AsyncClient

    def values(self, **changes: Any) -> dict[str, Any]:
        own = {
            "image": OWN_IMAGE,
            "publicUrl": f"http://{self.host}",
            "evaluation": {
                "enabled": True,
                "temporal": {"image": f"{REGISTRY}/graphyard/temporal:test"},
                "postgres": {"image": f"{REGISTRY}/graphyard/postgres:test"},
            },
            "planes": [{"name": "main", "namespace": self.agents}],
            "planeDefaults": {"registry": {"address": f"{REGISTRY}/agents", "insecure": True}},
            **changes,
        }
        return chart.on_one_node(own)

    async def install(self, values: dict[str, Any]) -> None:
        await asyncio.to_thread(self.config.install, str(chart.PLACE), chart.RELEASE, values, timeout=60)

    async def upgrade(self, values: dict[str, Any]) -> None:
        await asyncio.to_thread(self.config.upgrade, str(chart.PLACE), chart.RELEASE, values, timeout=60)

    async def rollback(self, version: int) -> None:
        await asyncio.to_thread(self.config.rollback, chart.RELEASE, version=version, timeout=60)

    async def uninstall(self) -> None:
        await asyncio.to_thread(self.config.uninstall, chart.RELEASE, timeout=60, ignore_not_found=True)

    async def secret(self, name: str) -> dict[str, str]:
        found = await self.cluster.get(SECRET, f"gy-graphyard-{name}")
        assert found is not None
        return {key: base64.b64decode(value).decode() for key, value in found["data"].items()}

    async def until_rolled_out(self) -> None:
        """Every Deployment is what was last asked for, and nothing else is left of it."""
        async with asyncio.timeout(PATIENCE):
            while missing := [
                one["metadata"]["name"]
                for one in await self.cluster.all(DEPLOYMENT, {})
                if not rolled_out(one)
            ]:
                assert missing
                await asyncio.sleep(0.5)

    async def until_answered(self, status: int = 200) -> httpx.Response:
        """The API says that it is ready, through the ingress."""
        async with asyncio.timeout(PATIENCE):
            while True:
                answer = await self.http.get("/ready")
                if answer.status_code == status:
                    return answer
                await asyncio.sleep(0.5)


class Led(httpx.AsyncHTTPTransport):
    """Leads every name to one address, as somebody's DNS would."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._to = httpx.URL(address)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.url = request.url.copy_with(scheme=self._to.scheme, host=self._to.host, port=self._to.port)
        return await super().handle_async_request(request)


async def answered(url: str, timeout: float = 60) -> str:
    """What the echo agent at that URL makes of an x, whoever knows the name in it."""
    async with httpx.AsyncClient(base_url=url, transport=Led(DOOR), timeout=timeout) as http:
        found = await LangGraphClient(http).runs.wait(None, "echo", input={"text": "x"})
    assert isinstance(found, dict)
    return str(found["result"])


def rolled_out(deployment: Manifest) -> bool:
    status, wanted = deployment.get("status") or {}, deployment["spec"]["replicas"]
    seen: int = status.get("observedGeneration", 0)
    counts = [
        status.get(name, 0) for name in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    ]
    return seen >= deployment["metadata"]["generation"] and counts == [wanted] * 4


@asynccontextmanager
async def releasing() -> AsyncIterator[Release]:
    """Everything that a release needs, and its end; nothing is installed yet."""
    async with namespaced("gy-helm") as cluster:
        host = f"{cluster.namespace}.example.test"
        with helm.Config(kubeconfig_path=str(kubeconfig()), namespace=cluster.namespace) as config:
            async with httpx.AsyncClient(base_url=DOOR, headers={"Host": host}, trust_env=False) as http:
                made = Release(cluster, config, f"{cluster.namespace}-agents", host, http)
                try:
                    yield made
                finally:
                    await made.uninstall()
                    await cluster.ask("DELETE", f"/api/v1/namespaces/{made.agents}", missing=True)
