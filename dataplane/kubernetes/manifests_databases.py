"""What Valkey and Postgres have in common as objects: pure. Neither runs as root, writes to its image, or can be
reached by anybody but its own deployment and the plane's worker."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from dataplane.kubernetes import names
from dataplane.kubernetes.kinds import Manifest
from dataplane.kubernetes.site import Site
from workflows.shapes import Wish

USER = 10001
"""Of our images; any other that heeds the same variables runs as it as well."""
WORKER = {"app.kubernetes.io/name": "graphyard", "app.kubernetes.io/component": "plane"}
"""The labels of the plane worker's own pods, wherever they run."""
DATA = "data"
SECRET_MODE = 0o440


def metadata(site: Site, wish: Wish, role: str, name: str) -> dict[str, Any]:
    """Name, labels and owner of one object of a deployment's Valkey or Postgres."""
    return {
        "name": name,
        "namespace": site.namespace,
        "labels": labels(site, wish, role),
        "annotations": {names.ID: str(wish.deployment_id)},
    }


def labels(site: Site, wish: Wish, role: str) -> dict[str, str]:
    """By which all of a deployment's Valkey or Postgres is found."""
    return {**names.of_deployment(site.plane, wish.deployment_id), names.ROLE: role}


def secret(meta: Mapping[str, Any], values: Mapping[str, str], kind: str = "Opaque") -> Manifest:
    """A Secret with these values."""
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": dict(meta), "type": kind, "data": data}


def service(meta: Mapping[str, Any], port: int, selector: Mapping[str, str], *, lone: bool) -> Manifest:
    """A Service with one port. To a `lone` pod it leads always: where one is slow to say that it is ready, on a node
    that is busy beyond measure, connections would be refused that nobody else could take."""
    only = {"publishNotReadyAddresses": True} if lone else {}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": dict(meta),
        "spec": {
            "type": "ClusterIP",
            **only,
            "selector": dict(selector),
            "ports": [{"name": "main", "port": port, "targetPort": port, "protocol": "TCP"}],
        },
    }


def policy(
    site: Site, wish: Wish, meta: Mapping[str, Any], port: int, more: Sequence[Mapping[str, Any]] = ()
) -> Manifest:
    """Who may come in: the deployment's own pods and the plane's worker, on this port."""
    of_deployment = names.of_deployment(site.plane, wish.deployment_id)
    peers: list[Mapping[str, Any]] = [
        {"podSelector": {"matchLabels": of_deployment}},
        {"namespaceSelector": {}, "podSelector": {"matchLabels": WORKER}},
    ]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": dict(meta),
        "spec": {
            "podSelector": {"matchLabels": meta["labels"]},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": peers, "ports": [{"port": port, "protocol": "TCP"}]}, *more],
        },
    }


def stateful_set(
    site: Site,
    meta: Mapping[str, Any],
    container: Mapping[str, Any],
    volumes: Sequence[Mapping[str, Any]],
    *,
    fingerprint: str,
    claim_gi: int | None,
    grace: int,
) -> Manifest:
    """One pod that keeps its name, on a volume of its own or on its node's disk."""
    pod: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": grace,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            # Else every start gives the group rights to every file.
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [{**container, "securityContext": confined()}],
        "volumes": [*volumes, *([{"name": DATA, "emptyDir": {}}] if claim_gi is None else [])],
    }
    if site.registry.pull_secret:
        pod["imagePullSecrets"] = [{"name": site.registry.pull_secret}]
    spec: dict[str, Any] = {
        "replicas": 1,
        "serviceName": meta["name"],
        # One that cannot start must not hold up the change that would let it.
        "podManagementPolicy": "Parallel",
        "updateStrategy": {"type": "RollingUpdate"},
        "selector": {"matchLabels": meta["labels"]},
        "template": {
            "metadata": {"labels": meta["labels"], "annotations": {names.FINGERPRINT: fingerprint}},
            "spec": pod,
        },
    }
    if claim_gi is not None:
        spec["volumeClaimTemplates"] = [_claim(site, meta, claim_gi)]
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": dict(meta), "spec": spec}


def confined() -> dict[str, Any]:
    """What a container of ours may do: nothing beside its work."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def resources(
    asked: Mapping[str, str | None], limits: Mapping[str, str | None], least: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """Requests as asked for, a limit instead where only that was, and else the least that it needs to start."""
    capped = {name: limit for name, limit in limits.items() if limit}
    requests = {name: asked.get(name) or capped.get(name) or value for name, value in least.items()}
    return {"requests": requests, **({"limits": capped} if capped else {})}


def cores(value: float | None) -> str | None:
    return None if value is None else f"{round(value * 1000)}m"


def megabytes(value: int | None) -> str | None:
    return None if value is None else f"{value}Mi"


def _claim(site: Site, meta: Mapping[str, Any], gi: int) -> Manifest:
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": f"{gi}Gi"}},
    }
    if site.database.storage_class:
        spec["storageClassName"] = site.database.storage_class
    described = {"name": DATA, "labels": meta["labels"], "annotations": meta["annotations"]}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": described, "spec": spec}
