"""Whether an object is as we would apply it: what a cluster fills in is no difference, what a hand did is one."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from dataplane.kubernetes import names
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.kinds import DEPLOYMENT, SECRET, Manifest
from dataplane.kubernetes.likeness import contents, fields, told, unlike


def a_deployment(labels: dict[str, str] | None = None) -> Manifest:
    labels = labels or {"app": "one"}
    container = {
        "name": "server",
        "image": "nowhere/app@sha256:" + "0" * 64,
        "ports": [{"name": "http", "containerPort": 8000}],
        "env": [{"name": "PORT", "value": "8000"}],
        "envFrom": [{"secretRef": {"name": "one"}}],
        "resources": {"requests": {"cpu": "0.5", "memory": "1024Mi"}, "limits": {"memory": "1Gi"}},
        "readinessProbe": {"httpGet": {"path": "/ok", "port": 8000}},
        "securityContext": {"allowPrivilegeEscalation": False},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "one", "labels": labels},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [container], "automountServiceAccountToken": False, "volumes": []},
            },
        },
    }


def container(found: Manifest) -> dict[str, Any]:
    made: dict[str, Any] = found["spec"]["template"]["spec"]["containers"][0]
    return made


def owned(path: dict[str, Any], manager: str = "kubectl-edit", **more: str) -> dict[str, Any]:
    return {"manager": manager, "operation": "Update", "fieldsV1": {"f:spec": path}, **more}


def test_what_a_cluster_fills_in_is_no_difference() -> None:
    live = a_deployment()
    live["spec"] |= {"progressDeadlineSeconds": 600, "replicas": 0}
    container(live)["resources"] = {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}}
    container(live)["terminationMessagePath"] = "/dev/termination-log"
    container(live)["ports"][0]["protocol"] = "TCP"
    live["spec"]["template"]["spec"] |= {"restartPolicy": "Always"}
    live["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": "1"}
    assert unlike(a_deployment(), live) == []


BASE = "spec.template.spec.containers[server]"
EDITS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "image": (lambda c: c.update(image="other"), f"{BASE}.image"),
    "value": (lambda c: c["env"][0].update(value="1"), f"{BASE}.env[PORT].value"),
    "one more": (lambda c: c["env"].append({"name": "DEBUG", "value": "secret"}), f"{BASE}.env[DEBUG]"),
    "gone": (lambda c: c.pop("readinessProbe"), f"{BASE}.readinessProbe.httpGet.path"),
    "limit": (lambda c: c["resources"]["limits"].update(memory="2Gi"), f"{BASE}.resources.limits.memory"),
    "secret": (lambda c: c["envFrom"].append({"secretRef": {"name": "two"}}), f"{BASE}.envFrom"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_what_a_hand_did_is_named_without_its_value(edit: str) -> None:
    live, (change, place) = a_deployment(), EDITS[edit]
    change(container(live))
    found = unlike(a_deployment(), live)
    assert found[0] == place
    assert "secret" not in told(found)


def test_a_field_beside_ours_is_somebodys_only_if_they_own_it() -> None:
    live = a_deployment()
    container(live)["command"] = ["sh"]
    assert unlike(a_deployment(), live) == []
    path: dict[str, Any] = {
        "f:containers": {'k:{"name":"server"}': {".": {}, "f:command": {}, "f:image": {}}}
    }
    entry = owned({"f:template": {"f:spec": path}, "f:replicas": {}, "f:paused": {}})
    live["metadata"]["managedFields"] = [entry]
    assert unlike(a_deployment(), live) == [f"{BASE}.command"]
    live["metadata"]["managedFields"] = [{**entry, "manager": "kube-controller-manager"}]
    assert unlike(a_deployment(), live) == []


def test_secrets_are_the_same_however_they_are_spelled() -> None:
    one = {"kind": "Secret", "metadata": {}, "stringData": {"A": "x"}}
    two = {"kind": "Secret", "metadata": {}, "data": {"A": "eA=="}}
    assert contents(one) == contents(two) == {"A": b"x"}
    assert unlike(one, two) == []
    assert unlike(one, {**two, "data": {"A": "eQ==", "B": ""}}) == ["A", "B"]


def test_pods_may_have_more_than_their_template() -> None:
    wanted = a_deployment()["spec"]["template"]["spec"]
    live = copy.deepcopy(wanted)
    live["containers"].append({"name": "mesh"})
    live["nodeName"] = "node-1"
    assert list(fields(wanted, live, whole=False)) == []
    assert list(fields(wanted, live)) == ["containers[mesh]"]


def test_much_is_told_in_brief() -> None:
    assert told(["a", "b"]) == "a, b"
    assert told(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


@pytest.mark.cluster
async def test_a_real_cluster_agrees(cluster: Cluster) -> None:
    wanted = a_deployment(names.mine(cluster.plane))
    live = await cluster.apply(wanted)
    assert unlike(wanted, live) == []
    live = await by_hand(cluster, {"spec": {"paused": True, "template": {"spec": {"hostPID": True}}}})
    assert unlike(wanted, live) == ["spec.paused", "spec.template.spec.hostPID"]
    change = [{"name": "server", "env": [{"name": "PORT", "value": "1"}], "tty": True}]
    live = await by_hand(cluster, {"spec": {"template": {"spec": {"containers": change}}}})
    assert f"{BASE}.env[PORT].value" in unlike(wanted, live)
    assert f"{BASE}.tty" in unlike(wanted, live)
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "one", "labels": names.mine(cluster.plane)},
        "stringData": {"A": "x"},
    }
    await cluster.apply(secret)
    found = await cluster.get(SECRET, "one")
    assert found is not None
    assert unlike(secret, found) == []


async def by_hand(cluster: Cluster, patch: dict[str, Any]) -> Manifest:
    """As `kubectl patch` does it."""
    path = await cluster.path(DEPLOYMENT, "one", None)
    content = "application/strategic-merge-patch+json"
    query = {"fieldManager": "kubectl-patch"}
    found: Manifest = await cluster.ask("PATCH", path, query=query, body=patch, content=content)
    return found
