"""What a cluster's plane is made from: read by that plane's worker only (`GRAPHYARD_KUBERNETES_*`), and frozen.

Flat, because variables are; `worker/planes.py` makes one value of it that the plane understands. Maps and lists
are JSON. `GRAPHYARD_KUBERNETES_REGISTRY_PASSWORD_FILE` and its like name files, as for all settings.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from dataplane.kubernetes.site import PostgresMode
from settings import FromEnvironment


class KubernetesSettings(FromEnvironment):
    """One cluster and its namespaces, the registry, and what pods are made from."""

    model_config = SettingsConfigDict(env_prefix="GRAPHYARD_KUBERNETES_")

    namespace: str = "graphyard"
    """Where servers and databases run."""
    build_namespace: str = ""
    """Where images are built; empty: beside the servers."""
    kubeconfig: Path | None = None
    """None: as the pod's own service account, or as `KUBECONFIG` says."""

    registry_address: str = ""
    """`host:port/prefix` as nodes and builders name it."""
    registry_api: str = ""
    """The same registry's URL as this process reaches it; empty: by its address."""
    registry_username: str = ""
    registry_password: SecretStr = SecretStr("")
    registry_insecure: bool = False
    registry_pull_secret: str = ""

    server_images: Mapping[str, str] = {}
    """By `<flavour>-<python>`: `{"pg-3.11": "registry.example/server@sha256:..."}`."""
    node_server_image: str = ""
    builder_image: str = ""
    postgres_image: str = ""
    valkey_image: str = ""

    database_mode: PostgresMode = PostgresMode.SHARED
    database_admin: SecretStr = SecretStr("")
    """DSN of a superuser, as this process reaches the server (`shared`)."""
    database_host: str = ""
    """`host:port` as pods reach the same server, where that differs."""
    database_storage_gi: int = Field(default=10, ge=1)
    database_storage_class: str = ""
    database_instances: int = Field(default=1, ge=1)
    database_backup: Mapping[str, Any] = {}

    ingress_class: str = ""
    door_annotations: Mapping[str, str] = {}
    tls_secret: str = ""
    gateway: str = ""
    """`namespace/name` of a Gateway."""
    door_address: str = ""
    """Where this process reaches the door, when names do not lead there."""
    door_sources: tuple[Mapping[str, Any], ...] = ()
    """NetworkPolicy peers that may reach the servers."""
    open_egress: bool = True

    build_seconds: float = Field(default=1800, gt=0)
    build_resources: Mapping[str, Any] = {}
    build_cache: bool = True
    builder_reaches: str = ""
    """The API's address as build pods reach it; empty: as this process does."""
    host_network_builds: bool = False
