"""Clusters as they tell of themselves, and all that a plane makes there for one wish: no cluster is needed."""

from pathlib import Path
from typing import Any

from dataplane.kubernetes import builders, names
from dataplane.kubernetes.environment import Environment
from dataplane.kubernetes.kinds import Manifest, Served
from dataplane.kubernetes.site import Database, Door, Images, Registry, Site
from sealing import Keyring
from tests.cluster import PLANE
from tests.wishes import a_wish
from workflows.pods import Resources, SecretReference
from workflows.shapes import Wish

DIGEST = f"sha256:{'a' * 64}"
COMMON = {
    "v1": frozenset({"pods", "services", "secrets", "serviceaccounts"}),
    "apps/v1": frozenset({"deployments", "replicasets", "statefulsets"}),
}
NETWORKING = frozenset({"ingresses", "networkpolicies"})
BUDGETS = frozenset({"poddisruptionbudgets"})
OLD = Served(
    "v1.20.2",
    {
        **COMMON,
        "networking.k8s.io/v1": NETWORKING,
        "networking.k8s.io/v1beta1": frozenset({"ingresses"}),
        "policy/v1beta1": BUDGETS,
    },
)
OLDER = Served(
    "v1.18.20",
    {
        **COMMON,
        "networking.k8s.io/v1": frozenset({"networkpolicies"}),
        "networking.k8s.io/v1beta1": frozenset({"ingresses"}),
        "policy/v1beta1": BUDGETS,
    },
)
MIDDLE = Served("v1.25.0", {**COMMON, "networking.k8s.io/v1": NETWORKING, "policy/v1": BUDGETS})
NEW = Served("v1.37.0", MIDDLE.resources)
GATEWAY = Served("v1.37.0", {**NEW.resources, "gateway.networking.k8s.io/v1": frozenset({"httproutes"})})
GATED = Door(public_url="https://agents.example.com", gateway="edge/main")


class Databases:
    def postgres_uri(self, wish: Wish) -> str:
        return "postgresql://gy:secret@postgres.example:5433/gy"

    def redis_uri(self, wish: Wish) -> str:
        return "redis://:secret@redis-1:6379/0"


def here(keys: Path, **changes: Any) -> Site:
    values: dict[str, Any] = {
        "plane": PLANE,
        "namespace": "agents",
        "build_namespace": "builds",
        "kubeconfig": None,
        "keys": keys,
        "registry": Registry("registry.example/graphyard", "https://registry.example", pull_secret="pull"),
        "images": Images(),
        "database": Database(),
        "door": Door(public_url="https://agents.example.com", ingress_class="nginx", tls_secret="tls"),
        "drain_seconds": 40.0,
    }
    return Site(**{**values, **changes})


def wished(keys: Path, **fields: Any) -> Wish:
    wish = a_wish(image=DIGEST)
    ring, owner = Keyring.load(keys), str(wish.deployment_id)
    sealed = {
        "environment": ring.seal_map({"FOO": "bar", "LOG_JSON": "false", "DATABASE_URI": "mine"}, owner),
        "credentials": ring.seal_map({"postgres": "pg-secret", "redis": "redis-secret"}, owner),
    }
    return wish.model_copy(update={**sealed, **fields})


def made(site: Site, wish: Wish, served: Served) -> list[Manifest]:
    environment = Environment(site, Databases())
    return [*builders.revision(site, wish, served, environment), *builders.door(site, wish, served)]


FULL = Resources(
    cpu=0.5,
    memory_mb=700,
    memory_limit_mb=900,
    labels={"team": "a", names.ROLE: "redis", names.PLANE: "other", "app.kubernetes.io/name": "graphyard"},
    annotations={"note": "b", names.ID: "other"},
    service_account_name="theirs",
    image_pull_secrets=[{"name": "more"}, {"name": "pull"}],
    volumes=[{"name": "cache", "emptyDir": {}}, {"name": "own", "persistentVolumeClaim": {"claimName": "c"}}],
    volume_mounts=[{"name": "cache", "mountPath": "/cache"}],
    init_containers=[
        {"name": "first", "image": "busybox:1", "command": ["true"], "securityContext": {"privileged": True}}
    ],
    sidecars=[
        {
            "name": "beside",
            "image": "busybox:1",
            "ports": [{"containerPort": 9000}],
            "securityContext": {"runAsUser": 7, "capabilities": {"add": ["SYS_ADMIN"]}},
        }
    ],
)
REFERENCES = [
    SecretReference(name="KEY", secret_name="theirs", secret_key="key"),
    SecretReference(name="DATABASE_URI", secret_name="theirs", secret_key="key"),
]
