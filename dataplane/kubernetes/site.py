"""Where a cluster's plane puts things and what it makes them from: everything that differs between two clusters,
decided by whoever runs them and handed down as one value."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class PostgresMode(StrEnum):
    """Where the deployments' databases live."""

    SHARED = "shared"
    """A role and a database each, on one server that somebody else keeps."""
    DEDICATED = "dedicated"
    """A server each, made here."""


@dataclass(frozen=True)
class Images:
    """What pods of ours are made from, each as `registry/repository@sha256:...` or at least with a tag."""

    server: Mapping[str, str] = field(default_factory=dict)
    """By `<flavour>-<python>` ("pg-3.11"): what projects are built on."""
    node_server: str = ""
    """The same for projects in JavaScript; without one they are refused."""
    builder: str = ""
    postgres: str = ""
    valkey: str = ""


@dataclass(frozen=True)
class Registry:
    """Where images of ours are kept."""

    address: str
    """`host:port/prefix`, as nodes and builders name it."""
    api: str
    """The same registry's URL as this process reaches it."""
    username: str = ""
    password: str = field(default="", repr=False)
    insecure: bool = False
    """Plain HTTP towards it."""
    pull_secret: str = ""
    """The Secret in the servers' namespace that nodes pull with; empty: none is needed."""


@dataclass(frozen=True)
class Database:
    """How databases are made."""

    mode: PostgresMode = PostgresMode.SHARED
    admin: str = field(default="", repr=False)
    """DSN of a superuser, as this process reaches the server (`shared`)."""
    host: str = ""
    """`host:port` as pods reach the same server, where that differs."""
    storage_gi: int = 10
    storage_class: str = ""
    instances: int = 1
    """Of a CloudNativePG cluster for deployments of type `prod`; one for all others."""
    backup: Mapping[str, object] = field(default_factory=dict)
    """The `backup` section of a CloudNativePG cluster for deployments of type `prod`."""


@dataclass(frozen=True)
class Door:
    """How requests come in."""

    public_url: str
    """Where callers reach the servers, below `/d/<slug>`; no trailing slash."""
    ingress_class: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    """Put on every Ingress or HTTPRoute."""
    tls_secret: str = ""
    gateway: str = ""
    """`namespace/name` of a Gateway: HTTPRoutes lead through it instead of Ingresses, where its API is served."""
    address: str = ""
    """Where this process reaches the door, when names do not lead there (`http://10.0.0.1:80`); the Host header
    is that of `public_url` all the same."""
    sources: tuple[Mapping[str, object], ...] = ()
    """NetworkPolicy peers that may reach the servers beside this plane's worker; none: anybody on their port."""
    open_egress: bool = True


@dataclass(frozen=True)
class Site:
    """One cluster's plane."""

    plane: str
    namespace: str
    build_namespace: str
    kubeconfig: Path | None
    """None: as the pod's own service account, or as `KUBECONFIG` says."""
    keys: Path
    """The keyring's file."""
    registry: Registry
    images: Images
    database: Database
    door: Door
    progress_seconds: float = 120
    drain_seconds: float = 60
    stuck_seconds: float = 60
    build_seconds: float = 1800
    build_resources: Mapping[str, object] = field(default_factory=dict)
    build_cache: bool = True
    """Whether layers are kept in the registry from build to build."""
    builder_reaches: str = ""
    """The API's address as build pods reach it, for the source archive."""
    builders_trust: str = ""
    """Who vouches for an `https` one beside the public authorities, in PEM."""
    host_network_builds: bool = False
    """Builds in the node's own network: for registries that listen on its loopback only."""
