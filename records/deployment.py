"""Deployments: what a caller named and wants kept running.

Every write locks the deployment's row first, then its revisions. This one order rules out deadlocks, gives
revisions consecutive numbers and makes the ids of events rise in the order of commits.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ForeignKey, Index, String, case, exists, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from records.base import Base, Key, Moment, now, words
from records.event import Event, EventKind, milliseconds
from records.specification import Environment, Specified, merged
from workflows import names
from workflows.shapes import DeploymentStatus, SourceKind

NAME_INDEX = "uq_deployments_living_name"


class NameTaken(Exception):
    """Another deployment of the workspace has this name."""


class Deleted(Exception):
    """The deployment is being deleted; it takes no wishes any more."""


class Deployment(Specified, Base):
    """One deployment. `source_config` holds all that was set, also what its revisions took over."""

    __tablename__ = "deployments"
    __table_args__ = (
        Index(NAME_INDEX, "workspace_id", "name", unique=True, postgresql_where="deleted_at IS NULL"),
        Index("ix_deployments_newest", "workspace_id", "created_at", "id", postgresql_where="deleted_at IS NULL"),
        Index("ix_deployments_deleted", "deleted_at", postgresql_where="deleted_at IS NOT NULL"),
    )

    id: Mapped[Key]
    short: Mapped[str] = mapped_column(String(8), unique=True)
    workspace_id: Mapped[UUID] = mapped_column(ForeignKey("workspaces.id"))
    name: Mapped[str]
    display_name: Mapped[str | None]
    source: Mapped[SourceKind] = mapped_column(words(SourceKind, "source"))
    deployment_type: Mapped[str | None]
    custom_url: Mapped[str | None]
    """Set by a caller; ours is `url`."""
    url: Mapped[str | None]
    """Where it is served, from the first revision that was deployed on."""
    status: Mapped[DeploymentStatus] = mapped_column(
        words(DeploymentStatus, "status"), default=DeploymentStatus.AWAITING_DATABASE
    )
    plane: Mapped[str]
    credentials: Mapped[str]
    """Sealed JSON map of the passwords of its database and its Redis."""
    shareable: Mapped[bool] = mapped_column(default=False)
    route_through_gateway: Mapped[bool] = mapped_column(default=False)
    image_version: Mapped[str | None]
    last_number: Mapped[int] = mapped_column(default=0)
    latest_revision_id: Mapped[UUID | None]
    active_revision_id: Mapped[UUID | None]
    created_at: Mapped[Moment]
    updated_at: Mapped[Moment]
    deleted_at: Mapped[datetime | None]

    @property
    def slug(self) -> str:
        """Its part of the public URL, `/d/<slug>`."""
        return names.slug(self.name, self.id)
