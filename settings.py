"""Settings: read once from the environment (`GRAPHYARD_*`), frozen, and passed down by the mains.

The embedded stack writes these for its own api and worker; an operator sets them by hand to point a piece
at something that already runs elsewhere.
"""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from workflows.shapes import Flavour


class Settings(BaseSettings):
    """Everything api and worker need to know; times are in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(env_prefix="GRAPHYARD_", frozen=True, extra="ignore")

    home: Path = Path(".graphyard")
    public_url: str = "http://127.0.0.1:4747"
    """Where callers reach the API, and servers below `/d/<slug>`; no trailing slash, may hold a path."""

    database_url: SecretStr = SecretStr("postgresql+psycopg://127.0.0.1/graphyard")
    temporal_address: str = "127.0.0.1:7233"
    temporal_namespace: str = "default"
    sealing_keys: Path = Path(".graphyard/secrets/sealing.keys")

    api_socket: Path = Path(".graphyard/run/api.sock")
    """The Unix socket the api listens on; the gateway and the plane's worker reach it there."""
    plane_token: SecretStr = SecretStr("")
    """What a plane's worker shows at the api's internal door."""

    plane: str = "local"
    plane_postgres_admin: SecretStr = SecretStr("")
    """DSN of a superuser on the Postgres server that holds the deployments' databases."""

    registry_url: str = ""
    """A registry of yours for `internal_docker`; empty: push-token answers the documented 400."""
    registry_username: str = "graphyard"
    registry_token: SecretStr = SecretStr("")

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
