"""What a plane's worker may do on a cluster, as the cluster itself counts it: all of it is written down here, and of
other namespaces there is nothing."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.kinds import CONFIG_MAP, POD, SECRET
from dataplane.kubernetes.trouble import Trouble
from tests.cluster import kubeconfig, namespaced
from tests.deploy.helm import chart

pytestmark = [pytest.mark.cluster, pytest.mark.apilevel, pytest.mark.timeout(120)]

ALL = frozenset({"get", "list", "watch", "create", "patch", "delete"})
READ = frozenset({"get", "list", "watch"})
SERVERS: Mapping[str, frozenset[str]] = {
    "services": ALL,
    "secrets": ALL,
    "configmaps": ALL,
    "serviceaccounts": ALL,
    "persistentvolumeclaims": ALL,
    "deployments.apps": ALL,
    "statefulsets.apps": ALL,
    "poddisruptionbudgets.policy": ALL,
    "ingresses.networking.k8s.io": ALL,
    "networkpolicies.networking.k8s.io": ALL,
    "httproutes.gateway.networking.k8s.io": ALL,
    "clusters.postgresql.cnpg.io": ALL,
    "pods": READ | {"delete"},
    "pods/log": frozenset({"get"}),
    "pods/eviction": frozenset({"create"}),
    "events": READ,
    "replicasets.apps": READ | {"delete"},
}
BUILDS: Mapping[str, frozenset[str]] = {
    "jobs.batch": ALL,
    "secrets": ALL,
    "configmaps": ALL,
    "serviceaccounts": ALL,
    "networkpolicies.networking.k8s.io": ALL,
    "pods": READ | {"delete"},
    "pods/log": frozenset({"get"}),
    "events": READ,
}
NOTHING: Mapping[str, frozenset[str]] = {}
EVERYBODY = ("authorization.k8s.io", "authentication.k8s.io")
"""Groups in which everybody may ask what he may do himself."""


@dataclass
class Planes:
    """Two planes of one release, and the clients their workers would have."""

    release: Cluster
    main: Cluster
    other: Cluster
    builds: str


@asynccontextmanager
async def as_account(cluster: Cluster, account: str, namespace: str, folder: Path) -> AsyncIterator[Cluster]:
    """A cluster as that account of `cluster`'s namespace sees it, at another namespace."""
    path = f"/api/v1/namespaces/{cluster.namespace}/serviceaccounts/{account}/token"
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": 600},
    }
    token = (await cluster.ask("POST", path, body=request))["status"]["token"]
    config = yaml.safe_load(kubeconfig().read_text())
    current = next(one for one in config["contexts"] if one["name"] == config["current-context"])
    config["users"] = [{"name": current["context"]["user"], "user": {"token": token}}]
    place = folder / f"{account}.kubeconfig"
    place.write_text(yaml.safe_dump(config))
    client = await Cluster.connect(place, namespace, "test")
    try:
        yield client
    finally:
        await client.close()


@pytest.fixture
async def planes(tmp_path: Path) -> AsyncIterator[Planes]:
    """What the chart makes of two planes, as far as it is about rights."""
    async with AsyncExitStack() as parts:
        release, main, other, builds = [await parts.enter_async_context(namespaced()) for _ in range(4)]
        values = {
            **chart.EVALUATION,
            "planeDefaults": {**chart.OF_REGISTRY, "createNamespace": False},
            "planes": [
                {"name": "main", "namespace": main.namespace, "buildNamespace": builds.namespace},
                {"name": "other", "namespace": other.namespace},
            ],
        }
        for one in chart.rendered(values, namespace=release.namespace):
            if one["kind"] in ("ServiceAccount", "Role", "RoleBinding"):
                await make(release, one)
        workers = {
            place.namespace: await parts.enter_async_context(
                as_account(release, f"gy-graphyard-plane-{name}", place.namespace, tmp_path)
            )
            for name, place in (("main", main), ("other", other))
        }
        yield Planes(release, workers[main.namespace], workers[other.namespace], builds.namespace)


async def make(cluster: Cluster, wanted: dict[str, Any]) -> None:
    version, namespace = wanted["apiVersion"], wanted["metadata"]["namespace"]
    base = f"/apis/{version}" if "/" in version else f"/api/{version}"
    await cluster.ask("POST", f"{base}/namespaces/{namespace}/{wanted['kind'].lower()}s", body=wanted)


async def rights(cluster: Cluster, namespace: str) -> dict[str, frozenset[str]]:
    """By kind, what whoever asks may do there."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    said = await cluster.ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", body=review)
    assert said["status"]["incomplete"] is False
    found: dict[str, frozenset[str]] = {}
    for rule in said["status"]["resourceRules"]:
        assert not rule.get("resourceNames")
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                name = f"{resource}.{group}" if group else resource
                if group not in EVERYBODY:
                    found[name] = found.get(name, frozenset()) | set(rule["verbs"])
    return found


async def test_a_plane_may_exactly_this(planes: Planes) -> None:
    assert await rights(planes.main, planes.main.namespace) == SERVERS
    assert await rights(planes.main, planes.builds) == BUILDS
    assert await rights(planes.other, planes.other.namespace) == {**SERVERS, "jobs.batch": ALL}


async def test_and_nothing_anywhere_else(planes: Planes) -> None:
    for namespace in (planes.release.namespace, planes.other.namespace, "default", "kube-system"):
        assert await rights(planes.main, namespace) == NOTHING, namespace


async def test_planes_do_not_see_each_other(planes: Planes) -> None:
    await planes.other.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": "theirs",
                "namespace": planes.other.namespace,
                "labels": {"app.kubernetes.io/managed-by": "graphyard", "graphyard.dev/plane": "test"},
            },
            "stringData": {"password": "open sesame"},
        }
    )
    assert await planes.other.get(SECRET, "theirs") is not None
    for kind in (SECRET, CONFIG_MAP, POD):
        for place in (planes.other.namespace, planes.release.namespace, "kube-system"):
            with pytest.raises(Trouble) as refused:
                await planes.main.all(kind, {}, place)
            assert refused.value.status == 403
    with pytest.raises(Trouble) as refused:
        await planes.main.get(SECRET, "theirs", planes.other.namespace)
    assert refused.value.status == 403


async def test_secrets_of_the_whole_cluster_and_nodes_are_forbidden(planes: Planes) -> None:
    for path in ("/api/v1/secrets", "/api/v1/pods", "/api/v1/namespaces", "/api/v1/nodes"):
        with pytest.raises(Trouble) as refused:
            await planes.main.ask("GET", path)
        assert refused.value.status == 403, path


async def test_nobody_can_give_himself_more(planes: Planes) -> None:
    base = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{planes.main.namespace}"
    role = {"metadata": {"name": "more"}, "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]}
    with pytest.raises(Trouble) as refused:
        await planes.main.ask("POST", f"{base}/roles", body=role)
    assert refused.value.status == 403
