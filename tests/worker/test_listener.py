"""A plane's own worker far from the api: over an address, with its own token, and with nothing else."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import SecretStr

from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.site import Site
from dataplane.memory import Memory
from dataplane.plane import Plane
from records import plane
from settings import Settings
from tests.api.served import served
from tests.temporal_server import TemporalServer
from tests.worker.test_main import client, running
from tests.worker.test_roles import NOWHERE, until_polled
from worker.main import Role
from workflows import names
from workflows.shapes import PlaneKind

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: nowhere
contexts: [{name: nowhere, context: {cluster: nowhere, user: nobody}}]
clusters: [{name: nowhere, cluster: {server: "https://127.0.0.1:9"}}]
users: [{name: nobody, user: {token: none}}]
"""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Site]:
    """What the plane's own code was asked to make; a memory stands in for it, and is away at first."""
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    monkeypatch.setenv("GRAPHYARD_KUBERNETES_KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.setenv("GRAPHYARD_KUBERNETES_NAMESPACE", "agents")
    sites: list[Site] = []
    answers = iter([ConnectionError("the cluster restarts"), None])

    async def served(cluster: Cluster) -> None:
        if (trouble := next(answers)) is not None:
            raise trouble

    monkeypatch.setattr(Cluster, "served", served)

    @asynccontextmanager
    async def kubernetes_plane(
        site: Site, cluster: Cluster, sources: object, links: object, reports: object, *, limits: object
    ) -> AsyncIterator[Plane]:
        sites.append(site)
        yield Memory().plane(site.plane)

    module = ModuleType("dataplane.kubernetes.plane")
    module.kubernetes_plane = kubernetes_plane  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return sites


async def test_it_is_heard_over_an_address(
    with_settings: Callable[..., Settings],
    temporal_server: TemporalServer,
    asked: list[Site],
) -> None:
    temporal_server.start()
    tokens = {"east": SecretStr("the token of the east"), "west": SecretStr("another")}
    async with served(with_settings(plane_tokens=tokens)) as api:
        far = with_settings(
            plane="east",
            plane_kind=PlaneKind.KUBERNETES,
            plane_token=tokens["east"],
            api_url=api.url,
            database_url=NOWHERE,
        )
        async with running(far, Role.PLANE):
            await until_polled(await client(temporal_server), names.plane_queue("east"))
            async with asyncio.timeout(20):
                while True:
                    async with api.parts.sessions() as session:
                        if (row := await plane.named(session, "east")) is not None:
                            break
                    await asyncio.sleep(0.05)
    assert row.kind == PlaneKind.KUBERNETES
    assert [site.namespace for site in asked] == ["agents"]
