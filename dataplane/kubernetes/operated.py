"""What CloudNativePG's operator says of a cluster that it keeps: pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from dataplane.kubernetes.kinds import Manifest, ending
from dataplane.kubernetes.manifests_postgres import HIBERNATION

HEALTHY = "Cluster in healthy state"


def healthy(cluster: Manifest) -> bool:
    """Whether it takes connections, by its condition or, of older operators, by its phase."""
    status = cluster.get("status") or {}
    for condition in status.get("conditions", ()):
        if condition["type"] == "Ready":
            return bool(condition["status"] == "True")
    return bool(status.get("phase") == HEALTHY and status.get("readyInstances", 0) > 0)


def summary(cluster: Manifest) -> str:
    """A text that changes whenever it gets on."""
    status = cluster.get("status") or {}
    return repr([status.get(key) for key in ("phase", "phaseReason", "readyInstances", "currentPrimary")])


def told(cluster: Manifest) -> str:
    """How it is, in the operator's words."""
    status = cluster.get("status") or {}
    said = [str(status[key]) for key in ("phase", "phaseReason") if status.get(key)]
    return ": ".join(said)[:300] or "its operator says nothing"


def primary(cluster: Manifest, pods: Sequence[Manifest]) -> Manifest | None:
    """The pod that takes writes."""
    name = (cluster.get("status") or {}).get("currentPrimary")
    return next((pod for pod in pods if pod["metadata"]["name"] == name and not ending(pod)), None)


def asleep(cluster: Manifest) -> bool:
    """Whether it is kept for its volumes only."""
    annotations: Mapping[str, Any] = cluster["metadata"].get("annotations") or {}
    return annotations.get(HIBERNATION) == "on"
