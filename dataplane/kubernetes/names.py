"""Every name and label on a cluster, one line each. What a deployment owns follows from its id, what a revision
owns from its number, so that doing a thing twice is doing it once."""

from collections.abc import Mapping
from uuid import UUID

from workflows import names
from workflows.shapes import Wish

MANAGER = "graphyard"
"""Our field manager, and the value of the label by which everything of ours is found."""
MANAGED_BY = "app.kubernetes.io/managed-by"
PLANE = "graphyard.dev/plane"
SHORT = "graphyard.dev/deployment"
"""The deployment's eight digits."""
ID = "graphyard.dev/deployment-id"
REVISION = "graphyard.dev/revision"
ROLE = "graphyard.dev/role"
"""What a thing is for: `server`, `redis`, `postgres`, `build`."""
KEPT = "graphyard.dev/kept"
"""On volumes that outlive their deployment."""
IMAGE = "graphyard.dev/image"
FINGERPRINT = "graphyard.dev/fingerprint"
"""Annotation: keyed, of everything a server is started with; no value can be read back from it."""
PORT = 8000
"""Where servers of ours listen."""


def mine(plane: str) -> dict[str, str]:
    """The labels of everything of one plane."""
    return {MANAGED_BY: MANAGER, PLANE: plane}


def of_deployment(plane: str, deployment_id: UUID) -> dict[str, str]:
    """The labels by which all of one deployment is found."""
    return {**mine(plane), SHORT: names.short(deployment_id)}


def of_revision(plane: str, wish: Wish) -> dict[str, str]:
    """And of one of its revisions."""
    return {**of_deployment(plane, wish.deployment_id), REVISION: str(wish.number)}


def selector(labels: Mapping[str, str]) -> str:
    """Labels as a query."""
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()))


def agent(wish: Wish) -> str:
    """Service, Ingress, ServiceAccount, NetworkPolicy and PodDisruptionBudget of a deployment; its slug fits a DNS
    label."""
    return names.slug(wish.name, wish.deployment_id)


def server(deployment_id: UUID, number: int) -> str:
    """The Deployment of one revision."""
    return f"server-{names.short(deployment_id)}-{number}"


def environment(deployment_id: UUID, number: int, fingerprint: str) -> str:
    """The Secret with a revision's variables; another content is another Secret, so that a change rolls."""
    return f"{server(deployment_id, number)}-{fingerprint[:10]}"


def redis(deployment_id: UUID) -> str:
    """StatefulSet, Service and Secret of a deployment's Valkey."""
    return names.redis(deployment_id)


def postgres(deployment_id: UUID) -> str:
    """StatefulSet (or CloudNativePG cluster), Service and Secret of a deployment's own Postgres."""
    return f"postgres-{names.short(deployment_id)}"


def build(wish: Wish) -> str:
    """The Job that builds a revision's image."""
    return f"build-{names.short(wish.deployment_id)}-{wish.number}"
