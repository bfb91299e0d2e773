"""What is made for a wish on which cluster: objects by discovery document, taken by a real API server; and what users
may not change by anything they ask for."""

import base64
from pathlib import Path
from typing import Any

import pytest

from dataplane.kubernetes import builders, names
from dataplane.kubernetes.builders import Builders
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.environment import Environment
from dataplane.kubernetes.kinds import Manifest, Served
from dataplane.kubernetes.site import Door, Site
from sealing import Keyring
from tests.cluster import PLANE, a_site
from tests.dataplane.kubernetes.clusters import (
    DIGEST,
    FULL,
    GATED,
    GATEWAY,
    MIDDLE,
    NEW,
    OLD,
    OLDER,
    REFERENCES,
    Databases,
    here,
    made,
    wished,
)
from workflows.causes import Code, Refused
from workflows.pods import Resources, SecretReference
from workflows.shapes import Flavour, Wish


def one(found: list[Manifest], kind: str) -> Manifest:
    (only,) = [item for item in found if item["kind"] == kind]
    return only


def values_of(found: list[Manifest]) -> dict[str, str]:
    return {key: base64.b64decode(text).decode() for key, text in one(found, "Secret")["data"].items()}


FIXED = ["v1 ServiceAccount", "networking.k8s.io/v1 NetworkPolicy"]
OWN = ["v1 Secret", "apps/v1 Deployment", "v1 Service"]


@pytest.mark.parametrize(
    ("served", "door", "kinds"),
    [
        (
            OLDER,
            None,
            [*FIXED, "policy/v1beta1 PodDisruptionBudget", *OWN, "networking.k8s.io/v1beta1 Ingress"],
        ),
        (OLD, None, [*FIXED, "policy/v1beta1 PodDisruptionBudget", *OWN, "networking.k8s.io/v1 Ingress"]),
        (NEW, None, [*FIXED, "policy/v1 PodDisruptionBudget", *OWN, "networking.k8s.io/v1 Ingress"]),
        (NEW, GATED, [*FIXED, "policy/v1 PodDisruptionBudget", *OWN, "networking.k8s.io/v1 Ingress"]),
        (
            GATEWAY,
            GATED,
            [*FIXED, "policy/v1 PodDisruptionBudget", *OWN, "gateway.networking.k8s.io/v1 HTTPRoute"],
        ),
        (GATEWAY, None, [*FIXED, "policy/v1 PodDisruptionBudget", *OWN, "networking.k8s.io/v1 Ingress"]),
    ],
    ids=["1.18", "1.20", "newest", "a gateway that is not served", "a gateway", "served but not named"],
)
def test_which_objects_are_made(keys: Path, served: Served, door: Door | None, kinds: list[str]) -> None:
    site = here(keys, **({"door": door} if door else {}))
    found = made(site, wished(keys), served)
    assert [f"{item['apiVersion']} {item['kind']}" for item in found] == kinds


@pytest.mark.cluster
@pytest.mark.parametrize("flavour", list(Flavour))
@pytest.mark.parametrize("full", [False, True], ids=["plain", "in full"])
async def test_a_real_cluster_takes_every_object(
    cluster: Cluster, keys: Path, flavour: Flavour, full: bool
) -> None:
    site = a_site(cluster.namespace, keys, door=Door(public_url="http://agents.test", tls_secret="tls"))
    more: dict[str, Any] = {"resources": FULL, "hostnames": ["my.example.com"]} if full else {}
    wish = wished(keys, flavour=flavour, image_uri="r.example/a:1", secret_references=REFERENCES, **more)
    build = Builders(site, cluster, Databases())
    for manifest in [*await build.revision(wish), *await build.door(wish)]:
        await cluster.apply(manifest, dry_run=True)


def test_a_server_is_confined_and_ends_in_its_time(keys: Path) -> None:
    found = made(here(keys), wished(keys), OLD)
    pod = one(found, "Deployment")["spec"]["template"]["spec"]
    (server,) = pod["containers"]
    assert server["image"] == f"registry.example/graphyard/agents@{DIGEST}"
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "fsGroup": 10001,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert server["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
        "readOnlyRootFilesystem": True,
    }
    assert pod["automountServiceAccountToken"] is pod["enableServiceLinks"] is False
    assert pod["terminationGracePeriodSeconds"] == 40 + 5 + 15
    assert server["lifecycle"] == {"preStop": {"exec": {"command": ["sleep", "5"]}}}
    assert pod["imagePullSecrets"] == [{"name": "pull"}]


@pytest.mark.parametrize(
    ("served", "flavour", "leave"),
    [
        (OLD, Flavour.PG, {"exec": {"command": ["sleep", "5"]}}),
        (NEW, Flavour.PG, {"exec": {"command": ["sleep", "5"]}}),
        (OLD, Flavour.IMAGE, {"exec": {"command": ["sleep", "5"]}}),
        (NEW, Flavour.IMAGE, {"sleep": {"seconds": 5}}),
    ],
)
def test_an_upgrade_of_the_cluster_makes_no_server_of_ours_anew(
    keys: Path, served: Served, flavour: Flavour, leave: dict[str, Any]
) -> None:
    wish = wished(keys, flavour=flavour)
    wish = wish.model_copy(update={"image_uri": "r.example/a:1"})
    server = template(here(keys), wish, served)["spec"]["containers"][0]
    assert server["lifecycle"] == {"preStop": leave}
    if flavour is not Flavour.IMAGE:
        assert template(here(keys), wish, served) == template(here(keys), wish, MIDDLE)


def template(site: Site, wish: Wish, served: Served) -> Any:
    return one(made(site, wish, served), "Deployment")["spec"]["template"]


@pytest.mark.parametrize(
    ("asked", "taken"),
    [
        (Resources(sidecars=[{"name": "server", "image": "a"}]), "'server'"),
        (
            Resources(sidecars=[{"name": "a", "image": "a"}], init_containers=[{"name": "a", "image": "a"}]),
            "'a'",
        ),
        (Resources(volumes=[{"name": "graphyard-tmp", "emptyDir": {}}]), "'graphyard-tmp'"),
        (Resources(volumes=[{"name": "v", "emptyDir": {}}, {"name": "v", "emptyDir": {}}]), "'v'"),
        (Resources(sidecars=[{"name": "a", "image": "a", "ports": [{"containerPort": 8000}]}]), "8000"),
    ],
)
def test_what_would_break_the_server_is_refused(keys: Path, asked: Resources, taken: str) -> None:
    with pytest.raises(Refused, match=f"{taken} is taken") as refused:
        made(here(keys), wished(keys, resources=asked), NEW)
    assert refused.value.cause.code is Code.ADMISSION_DENIED


def test_amounts_are_text_whoever_wrote_them(keys: Path) -> None:
    beside = {"name": "a", "image": "a", "resources": {"limits": {"cpu": 0.5, "memory": 1073741824}}}
    wish = wished(keys, resources=Resources(sidecars=[beside]))
    assert template(here(keys), wish, OLD)["spec"]["containers"][1]["resources"] == {
        "limits": {"cpu": "0.5", "memory": "1073741824"}
    }


def test_an_image_of_somebody_elses_may_write_and_be_root(keys: Path) -> None:
    wish = wished(keys, flavour=Flavour.IMAGE)
    pod = one(made(here(keys), wish, NEW), "Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"] == {"seccompProfile": {"type": "RuntimeDefault"}}
    context = pod["containers"][0]["securityContext"]
    assert "readOnlyRootFilesystem" not in context
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert pod["volumes"] == []


def test_what_is_asked_for_stands_beside_ours_and_never_in_its_place(keys: Path) -> None:
    wish = wished(keys, resources=FULL, secret_references=REFERENCES)
    found = made(here(keys), wish, NEW)
    deployment = one(found, "Deployment")
    template = deployment["spec"]["template"]
    pod = template["spec"]
    ours = {**names.of_revision(PLANE, wish), names.ROLE: "server"}
    assert template["metadata"]["labels"] == {"team": "a", **ours}
    assert deployment["metadata"]["labels"] == {"team": "a", **ours}
    assert deployment["spec"]["selector"]["matchLabels"] == ours
    assert template["metadata"]["annotations"] == {"note": "b", names.ID: str(wish.deployment_id)}
    assert pod["serviceAccountName"] == "theirs"
    assert pod["imagePullSecrets"] == [{"name": "more"}, {"name": "pull"}]
    assert [volume["name"] for volume in pod["volumes"]] == ["cache", "own", "graphyard-tmp"]
    server, beside = pod["containers"]
    assert server["resources"] == {
        "requests": {"cpu": "500m", "memory": "700Mi"},
        "limits": {"cpu": "1000m", "memory": "900Mi"},
    }
    assert server["env"] == [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "theirs", "key": "key"}}}]
    confined = {
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert beside["securityContext"] == {"runAsUser": 7, **confined}
    assert pod["initContainers"][0]["securityContext"] == confined


def test_who_mounts_at_tmp_has_it_so(keys: Path) -> None:
    asked = Resources(
        volumes=[{"name": "big", "emptyDir": {}}], volume_mounts=[{"name": "big", "mountPath": "/tmp/"}]
    )
    pod = one(made(here(keys), wished(keys, resources=asked), NEW), "Deployment")["spec"]["template"]["spec"]
    assert [volume["name"] for volume in pod["volumes"]] == ["big"]


@pytest.mark.parametrize(
    ("asked", "requests", "limits"),
    [
        (Resources(), ("250m", "512Mi"), ("500m", "2048Mi")),
        (Resources(cpu=1.5, memory_mb=3000), ("1500m", "3000Mi"), ("3000m", "3000Mi")),
        (Resources(cpu_limit=0.1, memory_limit_mb=200), ("100m", "200Mi"), ("100m", "200Mi")),
        (Resources(cpu=0.1, cpu_limit=4), ("100m", "512Mi"), ("4000m", "2048Mi")),
    ],
)
def test_bounds(keys: Path, asked: Resources, requests: tuple[str, str], limits: tuple[str, str]) -> None:
    found = made(here(keys), wished(keys, resources=asked), NEW)
    told = one(found, "Deployment")["spec"]["template"]["spec"]["containers"][0]["resources"]
    assert told == {
        "requests": dict(zip(("cpu", "memory"), requests, strict=True)),
        "limits": dict(zip(("cpu", "memory"), limits, strict=True)),
    }


def test_the_environment_is_layered_and_ours_is_last(keys: Path) -> None:
    site, wish = here(keys), wished(keys)
    values = values_of(made(site, wish, NEW))
    assert values["FOO"] == "bar"
    assert values["LOG_JSON"] == "false"
    assert values["DATABASE_URI"] == values["POSTGRES_URI"] == Databases().postgres_uri(wish)
    assert values["CORS_ALLOW_ORIGINS"] == "https://agents.example.com"
    slug = names.agent(wish)
    assert values["GRAPHYARD_PREFIX"] == f"/d/{slug}"
    assert values["GRAPHYARD_SERVICE"] == f"http://{slug}:8000"
    assert values["LANGGRAPH_API_URL"] == f"https://agents.example.com/d/{slug}"
    assert values["GRAPHYARD_LISTEN"] == "0.0.0.0:8000"
    assert "MOUNT_PREFIX" not in values
    theirs = values_of(made(site, wished(keys, flavour=Flavour.IMAGE), NEW))
    assert theirs["MOUNT_PREFIX"].startswith("/d/agent-")
    assert not [name for name in theirs if name.startswith("GRAPHYARD_")]
    assert values["HOME"] == "/tmp"
    assert "HOME" not in theirs


def test_databases_of_the_users_own(keys: Path) -> None:
    wish = wished(keys)
    sealed = Keyring.load(keys).seal_map(
        {"POSTGRES_URI_CUSTOM": "postgresql://a@own.example/b", "REDIS_URI_CUSTOM": "rediss://own.example:7"},
        str(wish.deployment_id),
    )
    wish = wish.model_copy(update={"environment": sealed, "custom_postgres": True, "custom_redis": True})
    door = Door(public_url="https://agents.example.com", open_egress=False)
    found = made(here(keys, door=door), wish, NEW)
    assert values_of(found)["REDIS_URI"] == "rediss://own.example:7"
    allowed = one(found, "NetworkPolicy")["spec"]["egress"][-1]["ports"]
    assert [port["port"] for port in allowed] == [7, 5432]


def test_a_reference_takes_the_place_of_a_value_but_not_of_ours(keys: Path) -> None:
    references = [SecretReference(name="FOO", secret_name="s", secret_key="k"), *REFERENCES]
    found = made(here(keys), wished(keys, secret_references=references), NEW)
    values = values_of(found)
    assert "FOO" not in values
    assert values["DATABASE_URI"] == Databases().postgres_uri(wished(keys))
    server = one(found, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert [entry["name"] for entry in server["env"]] == ["FOO", "KEY"]


def test_other_values_make_another_secret_and_a_new_key_alone_does_not(keys: Path) -> None:
    site, wish = here(keys), wished(keys)
    environment = Environment(site, Databases())
    first = builders.revision(site, wish, NEW, environment)
    name = one(first, "Secret")["metadata"]["name"]
    assert name == one(builders.revision(site, wish, NEW, environment), "Secret")["metadata"]["name"]
    fingerprint = one(first, "Deployment")["metadata"]["annotations"][names.FINGERPRINT]
    with keys.open("a") as file:
        file.write(f"k00000000 {base64.b64encode(b'x' * 32).decode()}\n")
    kept = builders.revision(site, wish, NEW, environment, fingerprint)
    assert one(kept, "Secret")["metadata"]["name"] == name
    changed = Keyring.load(keys).seal_map({"FOO": "other"}, str(wish.deployment_id))
    other = wish.model_copy(update={"environment": changed})
    second = one(builders.revision(site, other, NEW, environment, fingerprint), "Secret")
    assert second["metadata"]["name"] != name
    assert second["immutable"] is True


def test_no_value_is_anywhere_but_in_the_secret(keys: Path) -> None:
    found = made(here(keys), wished(keys), NEW)
    said = repr([item for item in found if item["kind"] != "Secret"])
    for secret in Environment(here(keys), Databases()).secrets(wished(keys)) - {"bar", "false", "mine"}:
        assert secret not in said
    assert "redis-1" not in said
    assert "postgres.example" not in said


@pytest.mark.parametrize(
    ("url", "host", "path"),
    [
        ("https://agents.example.com", "agents.example.com", "/d/"),
        ("https://agents.example.com:8443/yard", "agents.example.com", "/yard/d/"),
        ("http://127.0.0.1:8880", None, "/d/"),
        ("http://[::1]:8880", None, "/d/"),
    ],
)
def test_the_door_is_where_the_public_url_says(keys: Path, url: str, host: str | None, path: str) -> None:
    wish = wished(keys, hostnames=["my.example.com"])
    found = made(here(keys, door=Door(public_url=url, tls_secret="tls")), wish, NEW)
    public, own = one(found, "Ingress")["spec"]["rules"]
    assert public.get("host") == host
    (first,) = public["http"]["paths"]
    assert first["path"] == f"{path}{names.agent(wish)}"
    assert (own["host"], own["http"]["paths"][0]["path"]) == ("my.example.com", "/")
    hosts = [entry["hosts"] for entry in one(found, "Ingress")["spec"]["tls"]]
    assert hosts == [*([[host]] if host else []), ["my.example.com"]]


def test_routes_for_names_of_ones_own_do_not_open_the_public_name(keys: Path) -> None:
    wish = wished(keys, hostnames=["my.example.com"])
    found = made(here(keys, door=GATED), wish, GATEWAY)
    routes = [item["spec"] for item in found if item["kind"] == "HTTPRoute"]
    assert [(route["hostnames"], route["rules"][0]["matches"][0]["path"]["value"]) for route in routes] == [
        (["agents.example.com"], f"/d/{names.agent(wish)}"),
        (["my.example.com"], "/"),
    ]
    assert routes[0]["parentRefs"] == [{"name": "main", "namespace": "edge"}]


def test_a_drain_is_never_held_up_for_ever(keys: Path) -> None:
    budget = one(made(here(keys), wished(keys, replicas=1), NEW), "PodDisruptionBudget")["spec"]
    assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == ("25%", "AlwaysAllow")
    assert (
        "unhealthyPodEvictionPolicy"
        not in one(made(here(keys), wished(keys), OLD), "PodDisruptionBudget")["spec"]
    )


def test_only_the_servers_port_is_open_and_only_to_those_named(keys: Path) -> None:
    wish = wished(keys)
    spec = one(made(here(keys), wish, NEW), "NetworkPolicy")["spec"]
    assert (spec["policyTypes"], spec["ingress"]) == (
        ["Ingress"],
        [{"ports": [{"port": 8000, "protocol": "TCP"}]}],
    )
    source = {"namespaceSelector": {"matchLabels": {"name": "ingress"}}}
    door = Door(public_url="https://agents.example.com", sources=(source,), open_egress=False)
    closed = one(made(here(keys, door=door), wish, NEW), "NetworkPolicy")["spec"]
    assert closed["policyTypes"] == ["Ingress", "Egress"]
    assert closed["ingress"][0]["from"][2] == source
    assert [port["port"] for port in closed["egress"][-1]["ports"]] == [5433, 6379]
