"""What keeps a deployment's databases from coming up on a real cluster, told with its cause and left put right."""

from pathlib import Path
from typing import Any

import pytest

from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.site import Database, Images, PostgresMode
from tests.cluster import REGISTRY
from tests.dataplane.kubernetes.databases import yard
from workflows.causes import Code, Refused
from workflows.pods import Resources

pytestmark = pytest.mark.timeout(120)
OWN = Database(mode=PostgresMode.DEDICATED, storage_gi=1)
VALKEY, POSTGRES = f"{REGISTRY}/graphyard/valkey:test", f"{REGISTRY}/graphyard/postgres:test"
NONE = f"{REGISTRY}/graphyard/none:1"


async def refusal(cluster: Cluster, keys: Path, wish: dict[str, Any], **site: Any) -> Refused:
    """How it is refused; and that it all comes up, or goes, once what was wrong is not any more."""
    async with yard(cluster, keys, **{"database": OWN, "progress_seconds": 6.0, **site}) as made:
        one = made.wish(**wish)
        with pytest.raises(Refused) as caught:
            await made.databases.provision(one)
    async with yard(cluster, keys, OWN) as made:
        await made.databases.provision(one.model_copy(update={"resources": Resources()}))
        await made.databases.remove(one.model_copy(update={"purge": True}))
        assert await made.all() == []
    return caught.value


async def test_an_image_that_is_nowhere(cluster: Cluster, keys: Path) -> None:
    images = Images(valkey=NONE, postgres=POSTGRES)
    caught = await refusal(cluster, keys, {"custom_postgres": True}, images=images)
    assert caught.cause.code is Code.IMAGE_REFUSED
    assert NONE in caught.cause.message


async def test_a_class_of_volumes_that_is_nowhere(cluster: Cluster, keys: Path) -> None:
    database = Database(mode=PostgresMode.DEDICATED, storage_gi=1, storage_class="none")
    async with yard(cluster, keys, database, progress_seconds=6.0) as made:
        one = made.wish(custom_redis=True)
        with pytest.raises(Refused) as caught:
            await made.databases.provision(one)
        assert caught.value.cause.code is Code.VOLUME_UNBOUND
        await made.databases.remove(one.model_copy(update={"purge": True}))
        assert await made.all() == []


async def test_more_than_any_node_has(cluster: Cluster, keys: Path) -> None:
    asked = Resources(redis_memory_mb=100_000_000)
    caught = await refusal(cluster, keys, {"custom_postgres": True, "resources": asked})
    assert caught.cause.code is Code.UNSCHEDULABLE
    assert "memory" in caught.cause.message


async def test_a_quota(cluster: Cluster, keys: Path) -> None:
    path = f"/api/v1/namespaces/{cluster.namespace}/resourcequotas"
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}}
    await cluster.ask("POST", path, body={**quota, "spec": {"hard": {"pods": "0"}}})
    async with yard(cluster, keys, OWN, progress_seconds=6.0) as made:
        one = made.wish(custom_postgres=True)
        with pytest.raises(Refused) as caught:
            await made.databases.provision(one)
    assert caught.value.cause.code is Code.QUOTA_EXCEEDED
