"""What a real cluster makes of our objects: as applied they are found as wished, and applied again they are left
alone. Else every look would find a drift that nobody made, and every repair start servers anew.
"""

from pathlib import Path
from typing import Any

import pytest

from dataplane.kubernetes import doors, names
from dataplane.kubernetes.belongings import gather
from dataplane.kubernetes.builders import Builders
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.kinds import KINDS, Manifest
from dataplane.kubernetes.likeness import unlike
from dataplane.kubernetes.processes import CONTAINER
from dataplane.kubernetes.site import Door
from sealing import Keyring
from tests.cluster import a_site
from tests.dataplane.kubernetes.clusters import Databases
from tests.wishes import a_wish
from workflows import names as plain
from workflows.drift import OPEN, Field
from workflows.pods import Resources, SecretReference
from workflows.shapes import Flavour, Wish

FULL = Resources(
    cpu=0.1,
    cpu_limit=1.5,
    memory_mb=64,
    memory_limit_mb=1024,
    labels={"team": "a"},
    annotations={"note": "b"},
    image_pull_secrets=[{"name": "theirs"}],
    volumes=[
        {"name": "cache", "emptyDir": {"sizeLimit": "1Gi"}},
        {"name": "files", "configMap": {"name": "none", "optional": True}},
    ],
    volume_mounts=[{"name": "cache", "mountPath": "/cache"}],
    init_containers=[{"name": "first", "image": "busybox:1", "command": ["true"]}],
    sidecars=[
        {
            "name": "beside",
            "image": "busybox:1",
            "env": [{"name": "A", "value": "b"}],
            "ports": [{"containerPort": 9000}, {"containerPort": 9001, "protocol": "UDP"}],
            "resources": {"limits": {"cpu": 0.5, "memory": "0.5Gi"}},
            "readinessProbe": {"httpGet": {"path": "/", "port": 9000}},
            "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
        }
    ],
)
REFERENCES = [SecretReference(name="KEY", secret_name="theirs", secret_key="key")]
CLOSED = Door(
    public_url="http://agents.test/yard",
    ingress_class="some",
    annotations={"some.controller/buffering": "off"},
    tls_secret="tls",
    sources=({"namespaceSelector": {"matchLabels": {"name": "ingress"}}},),
    open_egress=False,
)
OPENED = Door(public_url="http://127.0.0.1:8880")


def wished(keys: Path, **fields: Any) -> Wish:
    """Its pods never start: there is no such image."""
    wish = a_wish(image=f"sha256:{'a' * 64}", image_uri="localhost:5000/none:1")
    ring, owner = Keyring.load(keys), str(wish.deployment_id)
    sealed = {
        "environment": ring.seal_map({"FOO": "bär\n"}, owner),
        "credentials": ring.seal_map({"postgres": "pg-secret", "redis": "redis-secret"}, owner),
    }
    return wish.model_copy(update={**sealed, **fields})


async def applied(cluster: Cluster, builders: Builders, wish: Wish) -> list[Manifest]:
    made = [*await builders.revision(wish), *await builders.door(wish)]
    for manifest in made:
        await cluster.apply(manifest)
    return made


async def differing(cluster: Cluster, made: list[Manifest]) -> dict[str, list[str]]:
    found = {}
    for manifest in made:
        live = await cluster.get(KINDS[manifest["kind"]], manifest["metadata"]["name"])
        assert live is not None
        if places := unlike(manifest, live):
            found[manifest["kind"]] = places
    return found


async def generations(cluster: Cluster, made: list[Manifest]) -> dict[str, tuple[str, int | None]]:
    """Who an object is and how often it was told something else. One without such a count changes its version
    with every write."""
    found = {}
    for manifest in made:
        live = await cluster.get(KINDS[manifest["kind"]], manifest["metadata"]["name"])
        assert live is not None
        meta = live["metadata"]
        found[manifest["kind"]] = (meta["uid"], meta.get("generation", meta["resourceVersion"]))
    return found


PLAIN: dict[str, Any] = {}
IN_FULL: dict[str, Any] = {
    "resources": FULL,
    "secret_references": REFERENCES,
    "hostnames": ["my.example.com", "other.example.com"],
    "replicas": 2,
}


@pytest.mark.cluster
@pytest.mark.apilevel
@pytest.mark.parametrize("flavour", list(Flavour))
@pytest.mark.parametrize(("door", "fields"), [(OPENED, PLAIN), (CLOSED, IN_FULL)], ids=["plain", "in full"])
async def test_as_applied_it_is_as_wished(
    cluster: Cluster, keys: Path, flavour: Flavour, door: Door, fields: dict[str, Any]
) -> None:
    builders = Builders(a_site(cluster.namespace, keys, door=door), cluster, Databases())
    wish = wished(keys, flavour=flavour, **fields)
    made = await applied(cluster, builders, wish)
    assert await differing(cluster, made) == {}
    before = await generations(cluster, made)
    assert await applied(cluster, builders, wish) == made
    assert await generations(cluster, made) == before
    found = await gather(cluster, wish.deployment_id)
    slug, short = names.agent(wish), plain.short(wish.deployment_id)
    told = {fact.field: fact.seen for fact in doors.facts(slug, short, await builders.door(wish), found)}
    assert told == {Field.LINK: f"revision {wish.number}", Field.ROUTE: OPEN}


@pytest.mark.cluster
@pytest.mark.apilevel
async def test_what_is_no_longer_asked_for_goes(cluster: Cluster, keys: Path) -> None:
    wish = wished(keys, **IN_FULL)
    await applied(cluster, Builders(a_site(cluster.namespace, keys, door=CLOSED), cluster, Databases()), wish)
    less = wish.model_copy(update={"resources": Resources(), "secret_references": [], "hostnames": []})
    plainly = Builders(a_site(cluster.namespace, keys, door=OPENED), cluster, Databases())
    made = await applied(cluster, plainly, less)
    assert await differing(cluster, made) == {}
    found = await gather(cluster, wish.deployment_id)
    live = {one["kind"]: found.like(one) for one in made}
    assert not any(one is None for one in live.values())
    pod = live["Deployment"]["spec"]["template"]["spec"]  # type: ignore[index]
    assert [one["name"] for one in pod["containers"]] == [CONTAINER]
    assert "initContainers" not in pod
    assert "imagePullSecrets" not in pod
    assert [one["name"] for one in pod["volumes"]] == ["graphyard-tmp"]
    assert "env" not in pod["containers"][0]
    assert "tls" not in live["Ingress"]["spec"]  # type: ignore[index]
    assert live["NetworkPolicy"]["spec"]["policyTypes"] == ["Ingress"]  # type: ignore[index]
