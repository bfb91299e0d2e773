"""The kinds of objects we know, and which version of each a cluster serves: pure, from its discovery document.

A version is discovered, never assumed: 1.20 has no `policy/v1`, and newer releases have no `v1beta1` any more.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Manifest = dict[str, Any]
"""An object as JSON. `Any`, because its shape is Kubernetes', not ours."""


@dataclass(frozen=True)
class Kind:
    """One kind, and the versions that we can write, the best first."""

    name: str
    plural: str
    group: str = ""
    versions: tuple[str, ...] = ("v1",)


POD = Kind("Pod", "pods")
SERVICE = Kind("Service", "services")
SECRET = Kind("Secret", "secrets")
CONFIG_MAP = Kind("ConfigMap", "configmaps")
SERVICE_ACCOUNT = Kind("ServiceAccount", "serviceaccounts")
VOLUME_CLAIM = Kind("PersistentVolumeClaim", "persistentvolumeclaims")
EVENT = Kind("Event", "events")
DEPLOYMENT = Kind("Deployment", "deployments", "apps")
REPLICA_SET = Kind("ReplicaSet", "replicasets", "apps")
STATEFUL_SET = Kind("StatefulSet", "statefulsets", "apps")
JOB = Kind("Job", "jobs", "batch")
DISRUPTION_BUDGET = Kind("PodDisruptionBudget", "poddisruptionbudgets", "policy", ("v1", "v1beta1"))
NETWORK_POLICY = Kind("NetworkPolicy", "networkpolicies", "networking.k8s.io")
INGRESS = Kind("Ingress", "ingresses", "networking.k8s.io", ("v1", "v1beta1"))
HTTP_ROUTE = Kind("HTTPRoute", "httproutes", "gateway.networking.k8s.io", ("v1", "v1beta1"))
CNPG_CLUSTER = Kind("Cluster", "clusters", "postgresql.cnpg.io")

KINDS = {
    kind.name: kind
    for kind in (
        POD,
        SERVICE,
        SECRET,
        CONFIG_MAP,
        SERVICE_ACCOUNT,
        VOLUME_CLAIM,
        EVENT,
        DEPLOYMENT,
        REPLICA_SET,
        STATEFUL_SET,
        JOB,
        DISRUPTION_BUDGET,
        NETWORK_POLICY,
        INGRESS,
        HTTP_ROUTE,
        CNPG_CLUSTER,
    )
}


class NotServed(LookupError):
    """The cluster has no version of this kind that we can write."""


@dataclass(frozen=True)
class Served:
    """What one cluster serves: by group, its versions, and by `group/version` the plurals in it."""

    release: str
    """Such as `v1.20.2`."""
    resources: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By `group/version` (`v1` for the core): the plurals served there."""

    def version(self, kind: Kind) -> str:
        """The `apiVersion` to write that kind with. Raises `NotServed`."""
        for version in kind.versions:
            name = f"{kind.group}/{version}" if kind.group else version
            if kind.plural in self.resources.get(name, ()):
                return name
        raise NotServed(f"this cluster ({self.release}) serves no {kind.name} of {kind.group or 'the core'}")

    def has(self, kind: Kind) -> bool:
        """Whether that kind can be written here."""
        try:
            self.version(kind)
        except NotServed:
            return False
        return True


def ending(found: Manifest) -> bool:
    """Whether somebody asked for an object's end."""
    return "deletionTimestamp" in found["metadata"]


def wanted_groups(groups: Iterable[Mapping[str, Any]]) -> list[str]:
    """Which `group/version`s of a cluster's list of groups are worth asking about."""
    known = {(kind.group, version) for kind in KINDS.values() if kind.group for version in kind.versions}
    return sorted(
        entry["groupVersion"]
        for group in groups
        for entry in group["versions"]
        if (group["name"], entry["version"]) in known
    )
