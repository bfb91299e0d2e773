"""From a wish to the objects of a Postgres of its own: pure. A CloudNativePG cluster where the cluster serves one,
else a StatefulSet; either way under the same names, so that those who connect need not know which.
"""

from collections.abc import Iterator
from typing import Any

from dataplane.kubernetes import manifests_databases as common
from dataplane.kubernetes import names
from dataplane.kubernetes.kinds import CNPG_CLUSTER, Manifest
from dataplane.kubernetes.site import Site
from workflows.shapes import Wish

ROLE = "postgres"
PORT = 5432
SUPERUSER = "postgres"
DATA_PLACE = "/var/lib/postgresql/data"
SECRET_PLACE = "/etc/postgres"  # noqa: S105 - where it is mounted
GRACE = 60
FIRST_START_SECONDS = 3600
"""Reading a journal after a crash, before it listens, takes as long as it takes."""
LEAST = {"cpu": "100m", "memory": "256Mi"}
HIBERNATION = "cnpg.io/hibernation"
OPERATOR_PORTS = (8000, 9187)
"""Where CloudNativePG's operator asks an instance how it is, and where its metrics are."""


def secret(site: Site, wish: Wish, password: str) -> Manifest:
    """The superuser's password, in the shape that CloudNativePG wants too."""
    values = {"username": SUPERUSER, "password": password}
    return common.secret(_meta(site, wish), values, "kubernetes.io/basic-auth")


def around(site: Site, wish: Wish, *, operated: bool) -> Iterator[Manifest]:
    """Service and NetworkPolicy."""
    meta = _meta(site, wish)
    primary = {"cnpg.io/cluster": meta["name"], "cnpg.io/instanceRole": "primary"}
    more = [{"ports": [{"port": port, "protocol": "TCP"} for port in OPERATOR_PORTS]}] if operated else []
    yield common.policy(site, wish, meta, PORT, more)
    yield common.service(meta, PORT, primary if operated else meta["labels"], lone=not operated)


def stateful_set(site: Site, wish: Wish, fingerprint: str) -> Manifest:
    """One server on a volume, which nothing but us takes away."""
    meta, asked = _meta(site, wish), wish.resources
    tcp = {"tcpSocket": {"port": PORT}}
    container: dict[str, Any] = {
        "name": ROLE,
        "image": site.images.postgres,
        "imagePullPolicy": "IfNotPresent",
        "env": [
            {"name": "PGDATA", "value": f"{DATA_PLACE}/pgdata"},
            {"name": "POSTGRES_PASSWORD_FILE", "value": f"{SECRET_PLACE}/password"},
        ],
        "ports": [{"name": "main", "containerPort": PORT, "protocol": "TCP"}],
        "resources": _resources(wish),
        "volumeMounts": [
            {"name": common.DATA, "mountPath": DATA_PLACE},
            {"name": "superuser", "mountPath": SECRET_PLACE, "readOnly": True},
            {"name": "temporary", "mountPath": "/tmp"},  # noqa: S108
            {"name": "sockets", "mountPath": "/var/run/postgresql"},
            {"name": "shared-memory", "mountPath": "/dev/shm"},  # noqa: S108
        ],
        "startupProbe": {**tcp, "periodSeconds": 2, "failureThreshold": FIRST_START_SECONDS // 2},
        "readinessProbe": {
            "exec": {"command": ["pg_isready", "-h", "127.0.0.1", "-p", str(PORT), "-q"]},
            "periodSeconds": 5,
            "timeoutSeconds": 5,
            "failureThreshold": 3,
        },
        "livenessProbe": {**tcp, "periodSeconds": 20, "timeoutSeconds": 5, "failureThreshold": 6},
    }
    if asked.db_max_connections is not None:
        container["args"] = ["-c", f"max_connections={asked.db_max_connections}"]
    password = {"secretName": meta["name"], "defaultMode": common.SECRET_MODE}
    return common.stateful_set(
        site,
        meta,
        container,
        [
            {"name": "superuser", "secret": password},
            {"name": "temporary", "emptyDir": {}},
            {"name": "sockets", "emptyDir": {}},
            {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "256Mi"}},
        ],
        fingerprint=fingerprint,
        claim_gi=storage_gi(site, wish),
        grace=GRACE,
    )


def operated(site: Site, wish: Wish, version: str) -> Manifest:
    """The cluster that CloudNativePG's operator makes and keeps."""
    meta = _meta(site, wish)
    storage: dict[str, Any] = {"size": f"{storage_gi(site, wish)}Gi"}
    if site.database.storage_class:
        storage["storageClass"] = site.database.storage_class
    spec: dict[str, Any] = {
        "instances": site.database.instances if wish.production else 1,
        "storage": storage,
        "resources": _resources(wish),
        "enableSuperuserAccess": True,
        "superuserSecret": {"name": meta["name"]},
        "inheritedMetadata": {"labels": meta["labels"], "annotations": meta["annotations"]},
    }
    if site.images.postgres:
        spec["imageName"] = site.images.postgres
    if site.registry.pull_secret:
        spec["imagePullSecrets"] = [{"name": site.registry.pull_secret}]
    if wish.resources.db_max_connections is not None:
        spec["postgresql"] = {"parameters": {"max_connections": str(wish.resources.db_max_connections)}}
    if wish.production and site.database.backup:
        spec["backup"] = dict(site.database.backup)
    # Kept ones sleep: without their Cluster object, the operator's volumes would go.
    meta["annotations"] = {**meta["annotations"], HIBERNATION: "off"}
    return {"apiVersion": version, "kind": CNPG_CLUSTER.name, "metadata": meta, "spec": spec}


def storage_gi(site: Site, wish: Wish) -> int:
    return wish.resources.db_storage_gi or site.database.storage_gi


def _meta(site: Site, wish: Wish) -> dict[str, Any]:
    return common.metadata(site, wish, ROLE, names.postgres(wish.deployment_id))


def _resources(wish: Wish) -> dict[str, dict[str, str]]:
    asked = wish.resources
    return common.resources(
        {"cpu": common.cores(asked.db_cpu), "memory": common.megabytes(asked.db_memory_mb)},
        {"cpu": common.cores(asked.db_cpu_limit), "memory": common.megabytes(asked.db_memory_limit_mb)},
        LEAST,
    )
