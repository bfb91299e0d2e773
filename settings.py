"""Settings: read once from the environment (`GRAPHYARD_*`), frozen, and passed down by the mains.

The embedded stack writes these for its own api and worker; an operator sets them by hand, or a chart does, to
point a piece at something that already runs elsewhere. What a cluster's plane is made from is in
`cluster_settings`: only its own worker reads that.
"""

import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from workflows.shapes import Flavour, PlaneKind


class UploadStore(StrEnum):
    """Where source archives lie."""

    HOME = "home"
    """Files below `home`: for one api, or several on one shared volume."""
    RECORDS = "records"
    """In the records' database: any number of apis, anywhere."""


SECRET = (SecretStr, Mapping[str, SecretStr])


class FromFiles(PydanticBaseSettingsSource):
    """`GRAPHYARD_DATABASE_URL_FILE` names a file that holds what `GRAPHYARD_DATABASE_URL` would: how secrets are
    mounted into pods. The variable itself wins; a file that is named and missing is an error."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        path = None
        if field.annotation in SECRET:
            path = os.environ.get(f"{self.config.get('env_prefix', '')}{field_name}_FILE".upper())
        value = Path(path).read_text().rstrip("\n") if path else None
        return value, field_name, self.field_is_complex(field)

    def __call__(self) -> dict[str, Any]:
        found = {}
        for name, field in self.settings_cls.model_fields.items():
            value, key, is_complex = self.get_field_value(field, name)
            if value is not None:
                found[key] = self.prepare_field_value(name, field, value, is_complex)
        return found


class FromEnvironment(BaseSettings):
    """Read from variables, then from files that variables name; frozen."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, FromFiles(settings_cls)


class Settings(FromEnvironment):
    """Everything api and worker need to know; times are in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(env_prefix="GRAPHYARD_")

    home: Path = Path(".graphyard")
    public_url: str = "http://127.0.0.1:4747"
    """Where callers reach the API, and servers below `/d/<slug>`; no trailing slash, may hold a path."""

    database_url: SecretStr = SecretStr("postgresql+psycopg://127.0.0.1/graphyard")
    temporal_address: str = "127.0.0.1:7233"
    temporal_namespace: str = "default"
    temporal_tls: bool = False
    """TLS towards Temporal by the public authorities; the files below, and a key of Temporal Cloud, imply it."""
    temporal_tls_ca: Path | None = None
    temporal_tls_cert: Path | None = None
    temporal_tls_key: Path | None = None
    temporal_tls_server_name: str = ""
    temporal_api_key: SecretStr = SecretStr("")
    temporal_metrics: str = ""
    """`host:port` where the Temporal client's own metrics are served to Prometheus; empty: nowhere."""

    sealing_keys: Path = Path(".graphyard/secrets/sealing.keys")

    bootstrap_key: SecretStr = SecretStr("")
    """The first workspace's key, if somebody else keeps it (a Secret does); empty: made and kept below `home`."""

    api_socket: Path = Path(".graphyard/run/api.sock")
    """The Unix socket the api listens on; the gateway and the plane's worker reach it there."""
    api_listen: str = ""
    """`host:port` for callers, instead of the socket: the internal door is not behind it."""
    internal_listen: str = ""
    """`host:port` of the internal door, for planes' workers; not for an ingress that callers come through."""
    api_url: str = ""
    """Where a plane's worker reaches the internal door, instead of over the socket; no trailing slash."""
    api_ca: Path | None = None
    """Who vouches for an `https` one, instead of the public authorities; a cluster's builds trust it beside these."""
    health_listen: str = ""
    """`host:port` where a worker answers `/live`, `/ready` and `/metrics`; empty: nowhere."""

    plane_token: SecretStr = SecretStr("")
    """What a plane's worker shows at the api's internal door; for the api, that of every plane."""
    plane_tokens: Mapping[str, SecretStr] = {}
    """For the api: a token of its own for each plane, which then speaks for nobody else."""

    plane: str = "local"
    """The plane that this worker looks after; for the api, where deployments go that name no listener."""
    plane_kind: PlaneKind = PlaneKind.LOCAL
    planes: Mapping[str, PlaneKind] = {}
    """For api and control worker: every plane there is, if there are others than `plane`."""
    plane_urls: Mapping[str, str] = {}
    """For api and control worker: where servers are reached that are on a plane with a door of its own."""
    upload_store: UploadStore = UploadStore.HOME
    privileged_pods: bool = False
    """Whether a `resource_spec` may ask for host paths and for containers with more rights than ours have."""
    plane_postgres_admin: SecretStr = SecretStr("")
    """DSN of a superuser on the Postgres server that holds the deployments' databases."""

    registry_url: str = ""
    """A registry of yours for `internal_docker`; empty: push-token answers the documented 400."""
    registry_username: str = "graphyard"
    registry_token: SecretStr = SecretStr("")
    """What it takes as a password, if it knows passwords of its own."""
    registry_service: str = ""
    """What it calls itself when it asks this api who may do what (`auth.token.service`); empty: it does not ask."""
    registry_accounts: Mapping[str, SecretStr] = {}
    """Then: who else may use it, for everything, by name and password: planes, their builds and their nodes."""

    flavour: Flavour = Flavour.PG
    sweep_seconds: float = Field(default=60, ge=0)
    """How often all of a plane is compared with the records; 0 pauses that."""
    stuck_seconds: float = Field(default=60, gt=0)
    """Runs that wait this long while workers are idle make a server count as dead, though it answers."""
    orphan_seconds: float = Field(default=600, ge=0)
    """How long something of ours that no record knows is only reported before it is removed."""
    progress_seconds: float = Field(default=120, gt=0)
    """A rollout with no progress for this long has failed."""
    drain_seconds: float = Field(default=60, ge=0)
    """How long an old replica may finish its runs and streams before the rest is handed over."""

    upload_bytes: int = 200 * 1024 * 1024
    unpacked_bytes: int = 1024 * 1024 * 1024
    unpacked_files: int = 20_000
    unpacked_ratio: int = 200
    """Unpacked size over packed size, from 10 MB unpacked on: more is a bomb."""

    log_json: bool = True
    log_level: str = "info"

    @field_validator("plane_tokens")
    @classmethod
    def _distinct(cls, tokens: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
        values = [token.get_secret_value() for token in tokens.values()]
        if not all(values) or len(set(values)) < len(values):
            raise ValueError("each plane needs a token of its own, and none may be empty")
        return tokens

    @property
    def kinds(self) -> Mapping[str, PlaneKind]:
        """What every plane that may be deployed to is made of."""
        return self.planes or {self.plane: self.plane_kind}

    @property
    def usual_plane(self) -> str:
        """Where a deployment goes that names no listener."""
        return self.plane if self.plane in self.kinds else next(iter(self.kinds))
