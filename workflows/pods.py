"""What a revision asks of the pods that it may run in: `resource_spec` and references to a cluster's Secrets."""

from typing import Any

from pydantic import BaseModel


class SecretReference(BaseModel):
    """A variable whose value lies in a Secret of the cluster and never passes through us."""

    name: str
    secret_name: str
    secret_key: str


class Resources(BaseModel):
    """`resource_spec`, as far as a plane acts on it. CPU in cores, memory in MB, storage in GiB; what is None was
    not asked for. Kubernetes' own shapes are passed on as they came."""

    max_scale: int | None = None
    cpu: float | None = None
    cpu_limit: float | None = None
    memory_mb: int | None = None
    memory_limit_mb: int | None = None
    redis_cpu: float | None = None
    redis_cpu_limit: float | None = None
    redis_memory_mb: int | None = None
    redis_memory_limit_mb: int | None = None
    db_cpu: float | None = None
    db_cpu_limit: float | None = None
    db_memory_mb: int | None = None
    db_memory_limit_mb: int | None = None
    db_storage_gi: int | None = None
    db_max_connections: int | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    service_account_name: str | None = None
    image_pull_secrets: list[dict[str, Any]] = []
    volumes: list[dict[str, Any]] = []
    volume_mounts: list[dict[str, Any]] = []
    init_containers: list[dict[str, Any]] = []
    sidecars: list[dict[str, Any]] = []
