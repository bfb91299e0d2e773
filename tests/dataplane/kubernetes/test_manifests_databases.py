"""The objects of databases: taken by a real cluster, and telling nothing."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from dataplane.kubernetes import manifests_postgres, manifests_valkey, names, operated
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.kinds import Manifest
from dataplane.kubernetes.postgres import elsewhere
from dataplane.kubernetes.site import Database, Door, Images, Registry, Site
from tests.wishes import a_wish
from workflows.pods import Resources
from workflows.shapes import Wish

WORD = "Marker-word"
ID = UUID("0a1b2c3d-0000-4000-8000-000000000001")


def site(namespace: str = "agents", **database: Any) -> Site:
    return Site(
        plane="test",
        namespace=namespace,
        build_namespace=namespace,
        kubeconfig=None,
        keys=Path("keys"),
        registry=Registry(address="registry:5000", api="http://registry:5000", pull_secret="pull"),
        images=Images(postgres="registry:5000/postgres:1", valkey="registry:5000/valkey:1"),
        database=Database(**database),
        door=Door(public_url="https://agents.example"),
    )


def wish(**fields: Any) -> Wish:
    return a_wish(deployment_id=ID, **fields)


FULL = Resources(
    redis_cpu=0.25,
    redis_cpu_limit=1,
    redis_memory_mb=128,
    redis_memory_limit_mb=256,
    db_cpu=0.5,
    db_memory_mb=512,
    db_memory_limit_mb=1024,
    db_storage_gi=20,
    db_max_connections=200,
)
WISHES = (wish(), wish(production=True, resources=FULL))


def everything(where: Site, one: Wish) -> Iterator[Manifest]:
    yield from manifests_valkey.manifests(where, one, WORD, "k1.mark")
    yield manifests_postgres.secret(where, one, WORD)
    yield from manifests_postgres.around(where, one, operated=False)
    yield manifests_postgres.stateful_set(where, one, "k1.mark")


@pytest.mark.parametrize("one", WISHES, ids=("plain", "full"))
async def test_taken_by_a_real_cluster(cluster: Cluster, one: Wish) -> None:
    for manifest in everything(site(cluster.namespace), one):
        taken = await cluster.apply(manifest, dry_run=True)
        assert taken["metadata"]["labels"] == manifest["metadata"]["labels"]


@pytest.mark.parametrize("one", WISHES, ids=("plain", "full"))
def test_secrets_are_in_secrets_only(one: Wish) -> None:
    for manifest in everything(site(), one):
        text = json.dumps(manifest)
        assert WORD not in text
        if manifest["kind"] != "Secret":
            assert "TWFya2Vy" not in text


@pytest.mark.parametrize("one", WISHES, ids=("plain", "full"))
def test_whose_they_are_can_be_told(one: Wish) -> None:
    for manifest in everything(site(), one):
        meta = manifest["metadata"]
        assert meta["labels"].items() >= names.of_deployment("test", ID).items()
        assert meta["labels"][names.ROLE] in ("redis", "postgres")
        assert meta["annotations"][names.ID] == str(ID)


@pytest.mark.parametrize("one", WISHES, ids=("plain", "full"))
def test_pods_may_do_nothing_beside_their_work(one: Wish) -> None:
    sets = [made for made in everything(site(), one) if made["kind"] == "StatefulSet"]
    assert len(sets) == 2
    for made in sets:
        pod = made["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}


def test_what_was_asked_for_is_given() -> None:
    one = WISHES[1]
    valkey = manifests_valkey.stateful_set(site(), one, "mark")["spec"]
    postgres = manifests_postgres.stateful_set(site(), one, "mark")["spec"]
    (of_valkey,), (of_postgres,) = (made["template"]["spec"]["containers"] for made in (valkey, postgres))
    assert of_valkey["resources"] == {
        "requests": {"cpu": "250m", "memory": "128Mi"},
        "limits": {"cpu": "1000m", "memory": "256Mi"},
    }
    assert of_postgres["resources"] == {
        "requests": {"cpu": "500m", "memory": "512Mi"},
        "limits": {"memory": "1024Mi"},
    }
    assert of_postgres["args"] == ["-c", "max_connections=200"]
    (claim,) = postgres["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"] == {"storage": "20Gi"}
    assert "volumeClaimTemplates" not in manifests_valkey.stateful_set(site(), WISHES[0], "mark")["spec"]


def test_a_limit_below_the_least_is_a_request_too() -> None:
    one = wish(resources=Resources(redis_memory_limit_mb=32))
    (container,) = manifests_valkey.stateful_set(site(), one, "mark")["spec"]["template"]["spec"][
        "containers"
    ]
    assert container["resources"]["requests"]["memory"] == "32Mi"


def test_to_a_lone_pod_its_service_leads_always() -> None:
    def leads(made: Iterator[Manifest]) -> Any:
        (service,) = [one for one in made if one["kind"] == "Service"]
        return service["spec"].get("publishNotReadyAddresses")

    assert leads(manifests_valkey.manifests(site(), WISHES[0], "x", "mark")) is True
    assert leads(manifests_postgres.around(site(), WISHES[0], operated=False)) is True
    # An operator's primary has others beside it.
    assert leads(manifests_postgres.around(site(), WISHES[0], operated=True)) is None


def test_an_operators_cluster() -> None:
    backup = {"barmanObjectStore": {"destinationPath": "s3://backups"}}
    where = site(instances=3, storage_class="fast", backup=backup)
    version = "postgresql.cnpg.io/v1"
    made = manifests_postgres.operated(where, WISHES[1], version)
    assert (made["apiVersion"], made["kind"]) == (version, "Cluster")
    spec = made["spec"]
    assert (spec["instances"], spec["backup"]) == (3, backup)
    assert spec["storage"] == {"size": "20Gi", "storageClass": "fast"}
    assert spec["superuserSecret"] == {"name": "postgres-0a1b2c3d"}
    assert spec["postgresql"]["parameters"] == {"max_connections": "200"}
    assert spec["imageName"] == "registry:5000/postgres:1"
    plain = manifests_postgres.operated(where, WISHES[0], version)["spec"]
    assert (plain["instances"], "backup" in plain) == (1, False)


HEALTHY: dict[str, Any] = {"conditions": [{"type": "Ready", "status": "True"}], "currentPrimary": "db-1"}


@pytest.mark.parametrize(
    ("status", "healthy"),
    [
        ({}, False),
        ({"phase": "Setting up primary", "readyInstances": 0}, False),
        ({"phase": "Cluster in healthy state", "readyInstances": 1}, True),
        ({"phase": "Cluster in healthy state", "conditions": [{"type": "Ready", "status": "False"}]}, False),
        (HEALTHY, True),
    ],
)
def test_what_an_operator_says(status: dict[str, Any], healthy: bool) -> None:
    assert operated.healthy({"status": status}) is healthy


def test_an_operators_primary() -> None:
    pods: list[Manifest] = [{"metadata": {"name": name}} for name in ("db-1", "db-2")]
    assert operated.primary({"status": HEALTHY}, pods) is pods[0]
    assert operated.primary({"status": {}}, pods) is None


@pytest.mark.parametrize(
    ("admin", "host", "there"),
    [
        ("postgresql://a:b@10.0.0.1:6000/x", "", "host=10.0.0.1 port=6000"),
        ("postgresql://a:b@10.0.0.1:6000/x?sslmode=verify-full", "db.svc", "host=db.svc port=6000"),
        ("postgresql://a:b@10.0.0.1/x", "db.svc:5433", "host=db.svc port=5433"),
    ],
)
def test_the_same_server_by_another_address(admin: str, host: str, there: str) -> None:
    from psycopg.conninfo import conninfo_to_dict

    found = conninfo_to_dict(elsewhere(admin, host))
    assert f"host={found['host']} port={found['port']}" == there
    assert found.get("sslmode") == conninfo_to_dict(admin).get("sslmode")
