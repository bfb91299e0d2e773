"""What a revision asks for, beyond its source: the columns that deployments and revisions share.

A deployment carries the values that its next revision starts from; a revision keeps its own for ever. So a
list of deployments is read from one table, and what was set before the first upload is not lost.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from records.base import words
from workflows.shapes import Flavour, SourceKind

REVISION_KEYS = ("resource_spec", "install_command", "build_command")
"""The keys of `source_config` that belong to a revision rather than to its deployment."""


@dataclass(frozen=True)
class Environment:
    """A whole map of variables, sealed, with what had to be read from it while it was open."""

    sealed: str
    flavour: Flavour = Flavour.PG
    custom_postgres: bool = False
    custom_redis: bool = False


@dataclass(frozen=True)
class Change:
    """What the next revision has different from the last; None (and a null within a map) keeps it."""

    source: SourceKind | None = None
    source_revision_config: Mapping[str, Any] | None = None
    source_config: Mapping[str, Any] | None = None
    environment: Environment | None = None
    secret_references: list[dict[str, Any]] | None = None
    tracked_packages: list[str] | None = None
    upload_id: UUID | None = None
    """The stored upload behind a new `source_tarball_path`."""


class Specified:
    """The shared columns."""

    source_revision_config: Mapped[dict[str, Any]] = mapped_column(default=dict)
    source_config: Mapped[dict[str, Any]] = mapped_column(default=dict)
    environment: Mapped[str]
    """Sealed JSON map, owner: the deployment's id."""
    flavour: Mapped[Flavour] = mapped_column(words(Flavour, "flavour"), default=Flavour.PG)
    custom_postgres: Mapped[bool] = mapped_column(default=False)
    custom_redis: Mapped[bool] = mapped_column(default=False)
    secret_references: Mapped[list[dict[str, Any]] | None]
    tracked_packages: Mapped[list[str] | None]

    def use(self, environment: Environment) -> None:
        """Replace the whole map of variables."""
        self.environment = environment.sealed
        self.flavour = environment.flavour
        self.custom_postgres = environment.custom_postgres
        self.custom_redis = environment.custom_redis


def merged(old: Mapping[str, Any], new: Mapping[str, Any] | None) -> dict[str, Any]:
    """Key by key, whole values; a null keeps what was."""
    return {**old, **{key: value for key, value in (new or {}).items() if value is not None}}
