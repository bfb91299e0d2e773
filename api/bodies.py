"""What callers may send. Shape only: whether it makes sense for a source is decided in `sources`, `resources`
and `environment`. Keys nobody knows are ignored, because clients are older and newer than we are.
"""

from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.text import Json, Line, Text
from workflows.shapes import SourceKind


class DeploymentType(StrEnum):
    """The official deployment types; only `dev_zero` and `dev_free_zero` may scale to zero elsewhere."""

    DEV_FREE = "dev_free"
    DEV = "dev"
    PROD = "prod"
    DEV_ZERO = "dev_zero"
    DEV_FREE_ZERO = "dev_free_zero"


class Body(BaseModel):
    """A JSON object in a request."""

    model_config = ConfigDict(extra="ignore")


class Secret(Body):
    """One environment variable of the servers."""

    name: Annotated[Text, Field(examples=["OPENAI_API_KEY"])]
    value: Annotated[Text, Field(examples=["sk-..."])]

    def __repr__(self) -> str:
        return f"Secret({self.name!r})"


class SecretReference(Body):
    """A variable whose value is in a secret of the cluster (`external_docker` only)."""

    name: Line
    secret_name: Line
    secret_key: Line


class ListenerConfig(Body):
    """Where in a listener's cluster the servers go."""

    k8s_namespace: Line | None = None


class SourceConfig(Body):
    """What stays the same from revision to revision; which fields apply depends on the source."""

    integration_id: UUID | None = None
    repo_url: Line | None = None
    deployment_type: DeploymentType | None = None
    build_on_push: bool | None = None
    custom_url: Line | None = None
    resource_spec: Json | None = None
    listener_id: UUID | None = None
    listener_config: ListenerConfig | None = None
    install_command: Annotated[Text, Field(max_length=4096)] | None = None
    build_command: Annotated[Text, Field(max_length=4096)] | None = None
    template_id: Line | None = None


class RevisionConfig(Body):
    """What a revision is made from."""

    repo_ref: Line | None = None
    langgraph_config_path: Annotated[Line, Field(examples=["langgraph.json"])] | None = None
    image_uri: Line | None = None
    source_tarball_path: (
        Annotated[Line, Field(description="An `object_path` that upload-url gave out.")] | None
    ) = None

    @property
    def given(self) -> dict[str, str]:
        """The fields that are not null."""
        return self.model_dump(exclude_none=True)


Secrets = Annotated[
    list[Secret],
    Field(description="The whole environment of the servers. `[]` and null leave it as it is."),
]
Packages = Annotated[list[Annotated[Text, Field(max_length=256)]], Field(max_length=1000)]


class CreateDeployment(Body):
    """A new deployment."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "echo-agent",
                    "source": "internal_source",
                    "source_config": {"deployment_type": "dev", "resource_spec": {"min_scale": 2}},
                    "source_revision_config": {},
                    "secrets": [{"name": "GREETING", "value": "hello"}],
                }
            ]
        }
    )

    name: Annotated[
        Text,
        Field(
            description="a-z, 0-9 and `-`, starting with a letter; part of the URL.", examples=["echo-agent"]
        ),
    ]
    source: SourceKind
    source_config: SourceConfig
    source_revision_config: RevisionConfig
    secrets: Secrets
    secret_references: list[SecretReference] | None = None
    shareable: bool | None = None
    route_through_gateway: bool | None = None
    agent: Annotated[Any, Field(description="Not supported: name the deployment instead.")] = None
    tracked_packages: Packages | None = None

    @model_validator(mode="before")
    @classmethod
    def _agent_instead_of_name(cls, data: Any) -> Any:
        # With `agent` the name is left out; the sentence about agents helps more than "name is missing".
        if isinstance(data, dict) and data.get("agent") is not None:
            return {"name": "", **data}
        return data


class Change(Body):
    """What both ways to a new revision share. Null leaves everything as it is."""

    source_config: SourceConfig | None = None
    source_revision_config: RevisionConfig | None = None
    secrets: Secrets | None = None
    secret_references: list[SecretReference] | None = None
    tracked_packages: Packages | None = None
    revision_source: SourceKind | None = None


class PatchDeployment(Change):
    """Changes to a deployment; some of them make a new revision."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "revision_source": "internal_source",
                    "source_revision_config": {
                        "source_tarball_path": "uploads/<deployment id>/<upload id>.tar.gz",
                        "langgraph_config_path": "langgraph.json",
                    },
                    "secrets": [],
                },
                {"display_name": "Echo", "source_config": {"custom_url": "https://echo.example.com"}},
            ]
        }
    )

    name: Line | None = None
    source: Line | None = None
    display_name: Annotated[Text, Field(min_length=1, max_length=256)] | None = None
    route_through_gateway: bool | None = None
    shareable: bool | None = None
    tracked_repo_ref: Line | None = None
    deployment_tier: Line | None = None


class CreateRevision(Change):
    """A new revision, also when nothing differs."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"source_config": {"resource_spec": {"min_scale": 2}}}]}
    )


class UploadRequest(Body):
    """What the CLI says about itself; nothing depends on it."""

    supports_upload_headers: bool = False


class PushRequest(Body):
    """What the CLI says about itself; nothing depends on it."""

    supports_registry_username: bool = False
