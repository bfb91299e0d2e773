"""The chart on a real cluster: one install is a whole system, an upgrade and a rollback lose no request, and an end
leaves what is kept on purpose and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest

from dataplane.kubernetes.cluster import Cluster
from tests.deploy.helm.release import PATIENCE, Release, build, releasing

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

EVERY_NAMESPACE = ("default", "kube-root-ca.crt")
"""What a cluster puts into each."""
ALL_KINDS = (
    "apps/v1/deployments", "apps/v1/statefulsets", "apps/v1/replicasets", "batch/v1/jobs",
    "networking.k8s.io/v1/ingresses", "networking.k8s.io/v1/networkpolicies",
    "rbac.authorization.k8s.io/v1/roles", "rbac.authorization.k8s.io/v1/rolebindings",
)  # fmt: skip
CORE_KINDS = ("pods", "services", "secrets", "configmaps", "serviceaccounts", "persistentvolumeclaims")


@pytest.fixture(scope="module")
def images() -> None:
    build()


@pytest.fixture
async def release(images: None) -> AsyncIterator[Release]:
    async with releasing() as made:
        yield made


@dataclass
class Asked:
    """Somebody who asks all the time, and what he was not told."""

    count: int = 0
    failures: list[str] = field(default_factory=list)


@asynccontextmanager
async def asked(release: Release, key: str) -> AsyncIterator[Asked]:
    story = Asked()

    async def ask() -> None:
        while True:
            try:
                answer = await release.http.get("/v2/deployments", headers={"X-Api-Key": key})
            except httpx.TransportError as error:
                story.failures.append(repr(error))
            else:
                story.count += 1
                if answer.status_code != 200:
                    story.failures.append(f"{answer.status_code} {answer.text[:200]}")
            await asyncio.sleep(0.02)

    task = asyncio.create_task(ask())
    try:
        yield story
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def left(cluster: Cluster) -> set[str]:
    """What is in the namespace that no cluster puts there by itself."""
    paths = [f"/apis/{group}/namespaces/{cluster.namespace}/{plural}"
             for group, _, plural in (one.rpartition("/") for one in ALL_KINDS)]  # fmt: skip
    paths += [f"/api/v1/namespaces/{cluster.namespace}/{plural}" for plural in CORE_KINDS]
    found = set()
    for path in paths:
        for one in (await cluster.ask("GET", path))["items"]:
            name = one["metadata"]["name"]
            if name not in EVERY_NAMESPACE and not name.startswith("default-token-"):
                found.add(f"{path.rpartition('/')[2]}/{name}")
    return found


async def test_a_release_s_life(release: Release) -> None:
    await release.install(release.values())
    ready = (await release.until_answered()).json()
    assert (ready["ready"], ready["database"]) == (True, "ready")
    await release.until_rolled_out()
    key = (await release.secret("bootstrap"))["api-key"]
    kept = {name: await release.secret(name) for name in ("sealing", "bootstrap", "planes", "postgres")}
    planes = await release.http.get("/v2/listeners/main/drift", headers={"X-Api-Key": key})
    assert planes.status_code == 200, planes.text

    async with asked(release, key) as asking:
        await release.upgrade(release.values(settings={"logLevel": "debug"}))
        await release.until_rolled_out()
        upgraded = asking.count
        await release.rollback(1)
        await release.until_rolled_out()
    assert asking.failures == []
    assert 0 < upgraded < asking.count
    assert kept == {name: await release.secret(name) for name in kept}
    assert (await release.until_answered()).json()["temporal"] == "ready"

    await release.uninstall()
    purposely = {"secrets/gy-graphyard-sealing", "secrets/gy-graphyard-bootstrap"}
    async with asyncio.timeout(PATIENCE):
        while await left(release.cluster) != purposely:
            await asyncio.sleep(1)
        while await release.cluster.ask("GET", f"/api/v1/namespaces/{release.agents}", missing=True):
            await asyncio.sleep(1)


async def test_a_release_comes_back_with_the_keys_it_had(release: Release) -> None:
    await release.install(release.values())
    before = await release.secret("sealing")
    await release.uninstall()
    async with asyncio.timeout(PATIENCE):
        while await release.cluster.ask("GET", f"/api/v1/namespaces/{release.agents}", missing=True):
            await asyncio.sleep(1)
    await release.install(release.values())
    assert await release.secret("sealing") == before
