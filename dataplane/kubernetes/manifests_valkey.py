"""From a wish to the objects of its Valkey: pure. The servers' keys and channels there are fixed names, so each
deployment has one of its own. It knows its password only by its hash."""

from collections.abc import Iterator

from dataplane.kubernetes import manifests_databases as common
from dataplane.kubernetes import names
from dataplane.kubernetes.kinds import Manifest
from dataplane.kubernetes.site import Site
from dataplane.valkey.client import digest
from dataplane.valkey.judged import WHOLE
from workflows.shapes import Wish

ROLE = "redis"
PORT = 6379
CONFIGURATION = "valkey.conf"
PLACE = "/etc/valkey"
DATA_PLACE = "/data"
VOLUME_GI = 1
GRACE = 30
LEAST = {"cpu": "50m", "memory": "64Mi"}


def manifests(site: Site, wish: Wish, password: str, fingerprint: str) -> Iterator[Manifest]:
    """In the order in which they are applied."""
    meta = common.metadata(site, wish, ROLE, names.redis(wish.deployment_id))
    yield common.secret(meta, {CONFIGURATION: configuration(password)})
    yield common.policy(site, wish, meta, PORT)
    yield common.service(meta, PORT, meta["labels"], lone=True)
    yield stateful_set(site, wish, fingerprint)


def stateful_set(site: Site, wish: Wish, fingerprint: str) -> Manifest:
    """The server itself; on a volume if its state deserves one. Without, what it holds outlives its process and
    not its pod."""
    asked = wish.resources
    meta = common.metadata(site, wish, ROLE, names.redis(wish.deployment_id))
    tcp = {"tcpSocket": {"port": PORT}}
    container = {
        "name": ROLE,
        "image": site.images.valkey,
        "imagePullPolicy": "IfNotPresent",
        "command": ["valkey-server", f"{PLACE}/{CONFIGURATION}"],
        "ports": [{"name": "main", "containerPort": PORT, "protocol": "TCP"}],
        "resources": common.resources(
            {"cpu": common.cores(asked.redis_cpu), "memory": common.megabytes(asked.redis_memory_mb)},
            {
                "cpu": common.cores(asked.redis_cpu_limit),
                "memory": common.megabytes(asked.redis_memory_limit_mb),
            },
            LEAST,
        ),
        "volumeMounts": [
            {"name": "configuration", "mountPath": PLACE, "readOnly": True},
            {"name": common.DATA, "mountPath": DATA_PLACE},
        ],
        "readinessProbe": {**tcp, "periodSeconds": 2, "failureThreshold": 3},
        # It asks for no password: that one is wanted is an answer too, and only one that hangs gives none.
        "livenessProbe": {
            "exec": {"command": ["valkey-cli", "-p", str(PORT), "ping"]},
            "initialDelaySeconds": 10,
            "periodSeconds": 20,
            "timeoutSeconds": 5,
            "failureThreshold": 3,
        },
    }
    configuration = {"secretName": meta["name"], "defaultMode": common.SECRET_MODE}
    return common.stateful_set(
        site,
        meta,
        container,
        [{"name": "configuration", "secret": configuration}],
        fingerprint=fingerprint,
        claim_gi=VOLUME_GI if wish.production else None,
        grace=GRACE,
    )


def configuration(password: str) -> str:
    """The file it starts with. No snapshots: one at the end would outlast a quick restart."""
    return "\n".join(
        [
            f"port {PORT}",
            "bind * -::*",
            "protected-mode no",
            f"dir {DATA_PLACE}",
            "daemonize no",
            "appendonly yes",
            'save ""',
            "maxmemory-policy noeviction",
            f"user default {WHOLE[0]} #{digest(password)} {' '.join(WHOLE[1:])}",
            "",
        ]
    )
