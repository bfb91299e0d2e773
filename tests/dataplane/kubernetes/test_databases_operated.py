"""Postgres by CloudNativePG's operator. That cannot be had here, nor do the API servers here bear kinds that are not
built in, so its Cluster objects are kept by the test, which plays the operator's part; everything else is real.
That the operator does with our object what its documents say is not shown.
"""

import asyncio
import copy
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest

from dataplane.kubernetes import manifests_postgres, names
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.databases import KubernetesDatabases
from dataplane.kubernetes.kinds import CNPG_CLUSTER, POD, SERVICE, Kind, Manifest, Served
from dataplane.kubernetes.site import Database, PostgresMode
from tests.cluster import PLANE, a_site, kubeconfig
from tests.dataplane.kubernetes.databases import until, wished
from workflows.causes import Code, Refused
from workflows.drift import Field
from workflows.shapes import Wish

pytestmark = pytest.mark.timeout(120)


class WithOperator(Cluster):
    """A cluster that serves one kind more."""

    clusters: dict[str, Manifest]

    async def served(self) -> Served:
        real = await super().served()
        return Served(real.release, {**real.resources, "postgresql.cnpg.io/v1": frozenset({"clusters"})})

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Manifest | None:
        if kind is CNPG_CLUSTER:
            return copy.deepcopy(self.clusters.get(name))
        return await super().get(kind, name, namespace)

    async def create(self, manifest: Manifest) -> Manifest | None:
        if manifest["kind"] != CNPG_CLUSTER.name:
            return await super().create(manifest)
        name = manifest["metadata"]["name"]
        return None if name in self.clusters else self.clusters.setdefault(name, copy.deepcopy(manifest))

    async def merge(
        self, kind: Kind, name: str, patch: Mapping[str, Any], namespace: str | None = None
    ) -> Manifest | None:
        if kind is not CNPG_CLUSTER:
            return await super().merge(kind, name, patch, namespace)
        self.clusters[name] = merged(self.clusters[name], patch)
        return self.clusters[name]

    async def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str | None = None,
        *,
        grace: int | None = None,
        propagation: str = "Background",
    ) -> bool:
        if kind is CNPG_CLUSTER:
            return self.clusters.pop(name, None) is not None
        return await super().delete(kind, name, namespace, grace=grace, propagation=propagation)


def merged(target: Any, patch: Any) -> Any:
    """As RFC 7396 says."""
    if not isinstance(patch, Mapping):
        return patch
    found = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        found[key] = merged(found.get(key), value)
    return {key: value for key, value in found.items() if value is not None}


@pytest.fixture
async def operated(cluster: Cluster) -> AsyncIterator[WithOperator]:
    made = await WithOperator.connect(kubeconfig(), cluster.namespace, PLANE)
    assert isinstance(made, WithOperator)
    made.clusters = {}
    yield made
    await made.close()


class Operator:
    """What CloudNativePG does of itself, by hand."""

    def __init__(self, cluster: WithOperator, wish: Wish) -> None:
        self._cluster = cluster
        self._wish = wish
        self._name = names.postgres(wish.deployment_id)

    @property
    def found(self) -> Manifest:
        return self._cluster.clusters[self._name]

    async def says(self, **status: Any) -> None:
        async def there() -> bool:
            return self._name in self._cluster.clusters

        await until(there, 20)
        await self._cluster.merge(CNPG_CLUSTER, self._name, {"status": status})

    async def makes_it(self, keys: Path) -> None:
        """An instance with the labels it was told, from an image of ours."""
        await self.says(phase="Setting up primary", readyInstances=0)
        site = a_site(self._cluster.namespace, keys)
        spec = manifests_postgres.stateful_set(site, self._wish, "none")["spec"]["template"]["spec"]
        spec["volumes"].append({"name": "data", "emptyDir": {}})
        labels = self.found["spec"]["inheritedMetadata"]["labels"]
        operators = {"cnpg.io/cluster": self._name, "cnpg.io/instanceRole": "primary"}
        metadata = {"name": f"{self._name}-1", "labels": {**labels, **operators}}
        await self._cluster.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        await self.says(
            phase="Cluster in healthy state",
            readyInstances=1,
            currentPrimary=f"{self._name}-1",
            conditions=[{"type": "Ready", "status": "True"}],
        )


def a_plane(cluster: Cluster, keys: Path, **changes: Any) -> KubernetesDatabases:
    database = Database(mode=PostgresMode.DEDICATED, instances=3, backup={"target": "primary"})
    return KubernetesDatabases(a_site(cluster.namespace, keys, database=database, **changes), cluster)


async def test_a_cluster_of_the_operators(operated: WithOperator, keys: Path) -> None:
    databases = a_plane(operated, keys)
    wish = wished(keys, custom_redis=True, production=True)
    name, operator = names.postgres(wish.deployment_id), Operator(operated, wish)
    provisioning = asyncio.create_task(databases.provision(wish))
    await operator.makes_it(keys)
    await provisioning
    assert (operator.found["spec"]["instances"], operator.found["spec"]["backup"]) == (
        3,
        {"target": "primary"},
    )
    service = await operated.get(SERVICE, name)
    assert service is not None
    uri = (await databases.postgres_of(wish)).uri(wish)
    at = await operated.get(POD, f"{name}-1")
    assert at is not None
    through = uri.replace(at["status"]["podIP"], service["spec"]["clusterIP"])

    async def leads_there() -> bool:
        try:
            async with await psycopg.AsyncConnection.connect(through, connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False

    await until(leads_there, 30)
    (database,) = [one for one in await databases.postgres_facts(wish) if one.field is Field.DATABASE]
    assert database.seen == "empty"

    await operator.says(phase="Failing over", conditions=[{"type": "Ready", "status": "False"}])
    (database, *_) = await databases.postgres_facts(wish)
    assert database.seen == "Failing over"

    await operator.says(conditions=[{"type": "Ready", "status": "True"}])
    await databases.postgres.remove(wish)
    assert operator.found["metadata"]["annotations"][manifests_postgres.HIBERNATION] == "on"
    assert operator.found["metadata"]["labels"][names.KEPT] == "true"
    assert await databases.postgres.observe(wish) == []
    assert await databases.postgres_facts(wish) == []

    await databases.provision(wish)
    assert operator.found["metadata"]["annotations"][manifests_postgres.HIBERNATION] == "off"
    assert names.KEPT not in operator.found["metadata"]["labels"]
    await databases.postgres.remove(wish.model_copy(update={"purge": True}))
    assert operated.clusters == {}
    assert await databases.postgres.observe(wish) == []
    await databases.close()


async def test_what_the_operator_says_is_told(operated: WithOperator, keys: Path) -> None:
    databases = a_plane(operated, keys, progress_seconds=2.0)
    wish = wished(keys, custom_redis=True)
    provisioning = asyncio.create_task(databases.provision(wish))
    operator = Operator(operated, wish)
    await operator.says(phase="Unable to create required cluster objects", phaseReason="no such class")
    with pytest.raises(Refused) as caught:
        await provisioning
    assert caught.value.cause.code is Code.DATABASE_FAILED
    assert "no such class" in caught.value.cause.message
