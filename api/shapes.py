"""What callers get: rows as clients expect to see them. Unset optional fields are null, never left out."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, Self, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api import resources
from api.bodies import DeploymentType
from records import deployment, event, listener, revision
from records.event import EventKind
from records.specification import Specified
from workflows.causes import Cause
from workflows.shapes import DeploymentStatus, RevisionStatus, SourceKind

Moment = Annotated[datetime, AfterValidator(lambda moment: moment.astimezone(UTC))]
Item = TypeVar("Item")


class Shape(BaseModel):
    """Part of an answer."""

    model_config = ConfigDict(from_attributes=True)


class Refusal(Shape):
    """Why not: a sentence, or for a 422 the list of fields that are wrong."""

    detail: Annotated[str | list[dict[str, Any]], Field(examples=["Deployment ID 8c1e6b1e-... not found."])]


class Resources(Shape, Generic[Item]):
    """One page of a list; `offset` is what to send for the next page."""

    resources: list[Item]
    offset: int


class Secret(Shape):
    """One environment variable, in the open: whoever has the workspace's key may read it."""

    name: str
    value: str


class SourceConfig(Shape):
    """What stays the same from revision to revision, and the resources of the latest one."""

    integration_id: str | None = None
    repo_url: str | None = None
    repo_branch: str | None = None
    deployment_type: str = DeploymentType.PROD
    build_on_push: bool = False
    custom_url: Annotated[
        str | None,
        Field(description="Where it is served: the address that was set, else ours once it is deployed."),
    ] = None
    resource_spec: dict[str, Any] | None = None
    listener_id: str | None = None
    listener_config: dict[str, Any] | None = None
    install_command: str | None = None
    build_command: str | None = None
    template_id: str | None = None

    @classmethod
    def of(cls, row: deployment.Deployment) -> Self:
        known = {key: value for key, value in row.source_config.items() if key in cls.model_fields}
        computed = {
            "deployment_type": row.deployment_type or DeploymentType.PROD,
            "custom_url": row.custom_url or row.url,
            "resource_spec": resources.shown(row.source_config.get("resource_spec"), row.source),
        }
        return cls.model_validate({**known, **computed})


class RevisionConfig(Shape):
    """What a revision was made from."""

    repo_ref: str | None = None
    langgraph_config_path: str | None = None
    image_uri: str | None = None
    source_tarball_path: str | None = None
    repo_commit_sha: str | None = None
    tracked_packages: list[str] | None = None
    deepagents_version: str | None = None

    @classmethod
    def of(cls, row: Specified) -> Self:
        return cls.model_validate({**row.source_revision_config, "tracked_packages": row.tracked_packages})


class Deployment(Shape):
    """An agent with a name and a URL, kept running: its newest wish and what serves."""

    id: UUID
    name: str
    display_name: str | None
    source: SourceKind
    source_config: SourceConfig
    source_revision_config: Annotated[RevisionConfig, Field(description="Of the latest revision.")]
    secrets: list[Secret]
    secret_references: list[dict[str, Any]] | None
    tenant_id: UUID
    created_at: Moment
    updated_at: Moment
    status: DeploymentStatus
    latest_revision_id: UUID | None
    active_revision_id: Annotated[UUID | None, Field(description="The revision that serves.")]
    url: Annotated[str | None, Field(description="Where it is served, once a revision was deployed.")]
    tracer_session_id: UUID | None = None
    image_version: str | None
    is_preview: bool = False
    is_managed_deep_agent: bool = False
    shareable: bool
    route_through_gateway: bool
    deployment_tier: str | None = None
    compute_tier: str | None = None
    database_tier: str | None = None
    agent: dict[str, Any] | None = None

    @classmethod
    def of(cls, row: deployment.Deployment, variables: Mapping[str, str]) -> Self:
        return cls(
            id=row.id,
            name=row.name,
            display_name=row.display_name,
            source=row.source,
            source_config=SourceConfig.of(row),
            source_revision_config=RevisionConfig.of(row),
            secrets=[Secret(name=name, value=value) for name, value in variables.items()],
            secret_references=row.secret_references,
            tenant_id=row.workspace_id,
            created_at=row.created_at,
            updated_at=row.updated_at,
            status=row.status,
            latest_revision_id=row.latest_revision_id,
            active_revision_id=row.active_revision_id,
            url=row.url,
            image_version=row.image_version,
            shareable=row.shareable,
            route_through_gateway=row.route_through_gateway,
        )


class Revision(Shape):
    """One wish for a deployment, and what became of it."""

    id: UUID
    number: Annotated[int, Field(description="Counts up from 1 within the deployment.")]
    created_at: Moment
    updated_at: Moment
    status: RevisionStatus
    status_message: Annotated[
        str | None,
        Field(description="What is going on; for a failure what happened and what to do about it."),
    ]
    cause: Annotated[Cause | None, Field(description="A failure, with a code that programs may match on.")]
    source: SourceKind
    source_revision_config: RevisionConfig
    image: Annotated[str | None, Field(description="The digest of the image that was built or found for it.")]

    @classmethod
    def of(cls, row: revision.Revision) -> Self:
        return cls(
            id=row.id,
            number=row.number,
            created_at=row.created_at,
            updated_at=row.updated_at,
            status=row.status,
            status_message=row.detail or None,
            cause=Cause.model_validate(row.cause) if row.cause else None,
            source=row.source,
            source_revision_config=RevisionConfig.of(row),
            image=row.image_id,
        )


class Event(Shape):
    """One thing that happened to a deployment."""

    id: str
    at: Moment
    kind: EventKind
    revision_id: UUID | None
    number: Annotated[int | None, Field(description="The revision's number.")]
    before: str | None
    after: str | None
    code: Annotated[str | None, Field(description="Why, in one word, when something failed.")]
    message: str
    fix: Annotated[str, Field(description="What to do about it.")]
    took_ms: Annotated[int | None, Field(description="How long the state before had lasted.")]

    @classmethod
    def of(cls, row: event.Event) -> Self:
        fields = {name: getattr(row, name) for name in cls.model_fields if name != "id"}
        return cls(id=str(row.id), **fields)


class Listener(Shape):
    """A data plane in somebody's cluster."""

    id: UUID
    created_at: Moment
    updated_at: Moment
    version: str | None
    compute_type: str
    compute_id: str
    compute_config: dict[str, Any]

    @classmethod
    def of(cls, row: listener.Listener) -> Self:
        return cls.model_validate(row)


class UploadTicket(Shape):
    """Where to PUT a source archive, and the path that names it afterwards."""

    upload_url: Annotated[
        str, Field(description="PUT the .tar.gz here within an hour; no API key is needed.")
    ]
    object_path: Annotated[str, Field(description="Send this back as source_tarball_path.")]
    upload_headers: dict[str, str] | None = None


class Stored(Shape):
    """An archive that arrived whole."""

    size: int
    sha256: str


class PushToken(Shape):
    """How to push an image to the registry of this installation."""

    token: str
    registry_url: str
    username: str | None
    repository_url: str | None


class Undeleted(Shape):
    """One of several that could not be deleted."""

    id: UUID
    detail: str


class Deletions(Shape):
    """What became of deleting several at once."""

    deleted: list[UUID]
    failed: list[Undeleted]
