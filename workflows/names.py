"""Every name that follows from an id, one line each: what is named twice is the same thing."""

import re
from uuid import UUID

from temporalio.common import SearchAttributeKey

from workflows.shapes import Resource, ResourceKind, Wish

CONTROL = "control"
TENANT = SearchAttributeKey.for_keyword("Tenant")
NAME = SearchAttributeKey.for_keyword("DeploymentName")
PHASE = SearchAttributeKey.for_keyword("Phase")
SEARCH_ATTRIBUTES = (TENANT, NAME, PHASE)

LONGEST_NAME = 48
NAME_PATTERN = re.compile(r"[a-z](?:[a-z0-9-]*[a-z0-9])?")


def plane_queue(plane: str) -> str:
    """The task queue that one data plane's worker polls."""
    return f"plane-{plane}"


def deployment_workflow(deployment_id: UUID) -> str:
    return f"deployment-{deployment_id}"


def rollout_workflow(deployment_id: UUID, number: int, attempt: int) -> str:
    return f"deployment-{deployment_id}-rollout-{number}.{attempt}"


def removal_workflow(deployment_id: UUID) -> str:
    return f"deployment-{deployment_id}-removal"


def sweep_schedule(plane: str) -> str:
    return f"sweep-{plane}"


def watch_workflow(plane: str) -> str:
    return f"watch-{plane}"


def short(deployment_id: UUID) -> str:
    """Eight hex digits; the records refuse a second deployment with the same ones."""
    return deployment_id.hex[:8]


def slug(name: str, deployment_id: UUID) -> str:
    """The deployment's part of its URL: `/d/<slug>/`."""
    return f"{name}-{short(deployment_id)}"


def database(name: str, deployment_id: UUID) -> str:
    """The database and the role that owns it; within Postgres's 63 bytes."""
    return f"gy_{name[:LONGEST_NAME]}_{short(deployment_id)}".replace("-", "_")


def redis(deployment_id: UUID) -> str:
    """The supervised program that is the deployment's Valkey."""
    return f"redis-{short(deployment_id)}"


def server(deployment_id: UUID, number: int, index: int) -> str:
    """The supervised program that is one replica of one revision."""
    return f"server-{short(deployment_id)}-{number}-{index}"


def durable_resources(wish: Wish) -> list[Resource]:
    """What a deployment owns as long as it lives, whatever its revision."""
    owned = [Resource(kind=ResourceKind.ROUTE, name=slug(wish.name, wish.deployment_id))]
    if not wish.custom_postgres and wish.flavour != "inmem":
        name = database(wish.name, wish.deployment_id)
        owned += [
            Resource(kind=ResourceKind.ROLE, name=name),
            Resource(kind=ResourceKind.DATABASE, name=name),
        ]
    if not wish.custom_redis and wish.flavour != "inmem":
        owned.append(Resource(kind=ResourceKind.REDIS, name=redis(wish.deployment_id)))
    return owned


def replica_resources(wish: Wish) -> list[Resource]:
    """The processes of one revision."""
    return [
        Resource(kind=ResourceKind.PROCESS, name=server(wish.deployment_id, wish.number, index))
        for index in range(wish.replicas)
    ]
