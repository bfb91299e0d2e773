"""What somebody waits on is told by watches: whole from the start, true later, and asked for once."""

from uuid import uuid4

import pytest

from dataplane.kubernetes import names
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.following import Following
from dataplane.kubernetes.kinds import CONFIG_MAP, POD, SECRET, Manifest
from dataplane.kubernetes.trouble import Trouble
from tests.cluster import kubeconfig

pytestmark = [pytest.mark.cluster, pytest.mark.apilevel, pytest.mark.timeout(60)]

PATIENCE = 10.0


def config(cluster: Cluster, name: str, **data: str) -> Manifest:
    metadata = {"name": name, "labels": names.mine(cluster.plane)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


async def test_it_holds_what_there_is_and_whatever_becomes_of_it(cluster: Cluster) -> None:
    await cluster.apply(config(cluster, "before", a="1"))
    # A client of its own, so that only its requests are counted.
    eyes = await Cluster.connect(kubeconfig(), cluster.namespace, cluster.plane)
    await eyes.served()
    before = eyes.requests.copy()
    async with Following(eyes, (CONFIG_MAP, SECRET), names.mine(cluster.plane)) as found:
        assert [one["metadata"]["name"] for one in found.of(CONFIG_MAP)] == ["before"]
        assert found.of(SECRET) == []
        await cluster.apply(config(cluster, "later", a="1"))
        while found.named(CONFIG_MAP, "later") is None:
            await found.moved(PATIENCE)
        await cluster.apply(config(cluster, "later", a="2"))
        while (one := found.named(CONFIG_MAP, "later")) is None or one["data"] != {"a": "2"}:
            await found.moved(PATIENCE)
        await cluster.delete(CONFIG_MAP, "before")
        while found.named(CONFIG_MAP, "before") is not None:
            await found.moved(PATIENCE)
        assert found.breaks == 0
    await eyes.close()
    # However much was told.
    assert eyes.requests - before == {"GET": 2, "WATCH": 2}


async def test_waiting_in_vain_ends_with_patience(cluster: Cluster) -> None:
    async with Following(cluster, (POD,), names.of_deployment(cluster.plane, uuid4())) as found:
        await found.moved(0.1)
        assert found.of(POD) == []


async def test_who_may_not_look_is_told_at_once(cluster: Cluster) -> None:
    """Of a place that nobody can list, nobody is told that nothing is there."""
    with pytest.raises(Trouble):
        async with Following(cluster, (CONFIG_MAP,), names.mine(cluster.plane), "no/such/place"):
            pytest.fail("it was entered")
