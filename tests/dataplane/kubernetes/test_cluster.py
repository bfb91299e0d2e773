"""The cluster's API as we speak it: what is not ours is refused, what is old is told, nothing is adopted."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest

from dataplane.kubernetes import names
from dataplane.kubernetes.cluster import KNOWN, Cluster
from dataplane.kubernetes.kinds import (
    CONFIG_MAP,
    DISRUPTION_BUDGET,
    HTTP_ROUTE,
    INGRESS,
    Manifest,
    NotServed,
    Served,
)
from dataplane.kubernetes.trouble import Unserved, told
from workflows.causes import Code, Refused

OLD = Served(
    "v1.20.2",
    {"policy/v1beta1": frozenset({"poddisruptionbudgets"}), "networking.k8s.io/v1": frozenset({"ingresses"})},
)
NEW = Served(
    "v1.37.0",
    {
        "policy/v1": frozenset({"poddisruptionbudgets"}),
        "networking.k8s.io/v1": frozenset({"ingresses"}),
        "gateway.networking.k8s.io/v1": frozenset({"httproutes"}),
    },
)


def a_map(name: str, labels: dict[str, str], **data: str) -> Manifest:
    metadata = {"name": name, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


@pytest.mark.parametrize(("served", "budget"), [(OLD, "policy/v1beta1"), (NEW, "policy/v1")])
def test_versions_are_those_that_are_served(served: Served, budget: str) -> None:
    assert served.version(DISRUPTION_BUDGET) == budget
    assert served.version(INGRESS) == "networking.k8s.io/v1"


def test_what_is_not_served_is_said() -> None:
    assert (OLD.has(HTTP_ROUTE), NEW.has(HTTP_ROUTE)) == (False, True)
    with pytest.raises(NotServed, match=r"v1\.20\.2"):
        OLD.version(HTTP_ROUTE)


@pytest.mark.parametrize(
    ("raw", "unserved"),
    [
        (b"404 page not found\n", True),
        (b'{"kind": "Status", "message": "could not find the requested resource", "details": {}}', True),
        (b'{"kind": "Status", "message": "x not found", "details": {"name": "x", "kind": "pods"}}', False),
    ],
)
def test_a_kind_that_is_missing_is_no_object_that_is(raw: bytes, unserved: bool) -> None:
    assert isinstance(told(404, raw), Unserved) is unserved


@pytest.mark.apilevel
async def test_a_version_that_is_served_no_more_is_found_out(cluster: Cluster) -> None:
    """An upgrade of the cluster under a worker that goes on: it fails once, and never takes for gone what is there."""
    before = await cluster.served()
    for kind, group in ((DISRUPTION_BUDGET, "policy"), (HTTP_ROUTE, "gateway.networking.k8s.io")):
        old = replace(kind, versions=("v0", *kind.versions))
        cluster._served = Served(before.release, {f"{group}/v0": frozenset({kind.plural})})
        with pytest.raises(Unserved):
            await cluster.get(old, "one")
        assert await cluster.served() == before
    assert await cluster.get(DISRUPTION_BUDGET, "one") is None


@pytest.mark.apilevel
async def test_what_is_served_is_asked_again_after_a_while(cluster: Cluster) -> None:
    known = await cluster.served()
    asked = cluster.requests.total()
    assert await cluster.served() is known
    assert cluster.requests.total() == asked
    cluster._asked -= KNOWN + 1
    assert await cluster.served() == known
    assert cluster.requests.total() > asked


@pytest.mark.apilevel
async def test_applied_twice_is_applied_once(cluster: Cluster) -> None:
    wanted = a_map("one", names.mine(cluster.plane), a="1")
    first, second = await cluster.apply(wanted), await cluster.apply(wanted)
    assert first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]
    assert [one["data"] for one in await cluster.all(CONFIG_MAP)] == [{"a": "1"}]


@pytest.mark.apilevel
async def test_what_others_made_is_not_adopted(cluster: Cluster) -> None:
    for labels in ({}, names.mine("another-plane")):
        name = f"theirs-{uuid4().hex[:6]}"
        await cluster.create(a_map(name, labels, a="theirs"))
        with pytest.raises(Refused) as caught:
            await cluster.apply(a_map(name, names.mine(cluster.plane), a="ours"))
        assert caught.value.cause.code is Code.NOT_OURS
        found = await cluster.get(CONFIG_MAP, name)
        assert found is not None
        assert found["data"] == {"a": "theirs"}


@pytest.mark.apilevel
async def test_pages_hold_everything_once(cluster: Cluster) -> None:
    wanted = {f"map-{number}" for number in range(7)}
    for name in wanted:
        await cluster.create(a_map(name, names.mine(cluster.plane)))
    pages = [page async for page in cluster.pages(CONFIG_MAP, size=3)]
    assert [len(page) for page in pages] == [3, 3, 1]
    assert {one["metadata"]["name"] for page in pages for one in page} == wanted


@pytest.mark.apilevel
async def test_changes_are_told_from_where_a_list_ended(cluster: Cluster) -> None:
    _, version = await cluster.version_of(CONFIG_MAP)
    await cluster.apply(a_map("one", names.mine(cluster.plane)))
    assert await cluster.delete(CONFIG_MAP, "one")
    assert not await cluster.delete(CONFIG_MAP, "one")
    seen = []
    async with asyncio.timeout(20):
        async for kind, changed in cluster.events(CONFIG_MAP, since=version):
            seen.append((kind, changed["metadata"]["name"]))
            if kind == "DELETED":
                break
    assert seen == [("ADDED", "one"), ("DELETED", "one")]


async def test_a_quota_says_what_it_forbids(cluster: Cluster) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}}
    spec = {"hard": {"count/configmaps": "0"}}
    path = f"/api/v1/namespaces/{cluster.namespace}/resourcequotas"
    await cluster.ask("POST", path, body={**quota, "spec": spec})
    async with asyncio.timeout(20):
        while not (await cluster.ask("GET", f"{path}/none"))["status"]:
            await asyncio.sleep(0.05)
    with pytest.raises(Refused) as caught:
        await cluster.apply(a_map("one", names.mine(cluster.plane)))
    assert caught.value.cause.code is Code.QUOTA_EXCEEDED
