"""The house language: what is wanted, what was made, what was seen, what became of it.

The same types travel from the records through the workflows to the planes and back; only the public API
translates. Nothing here holds a secret in the open: environments and credentials are sealed text, and
names of things follow from the ids (see `names`).
"""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pydantic import BaseModel

from workflows.causes import Cause
from workflows.pods import Resources, SecretReference
from workflows.trials import Mending


class RevisionStatus(StrEnum):
    """The official statuses of a revision, and no others (clients break on unknown words)."""

    CREATING = "CREATING"
    QUEUED = "QUEUED"
    AWAITING_BUILD = "AWAITING_BUILD"
    BUILDING = "BUILDING"
    AWAITING_DEPLOY = "AWAITING_DEPLOY"
    DEPLOYING = "DEPLOYING"
    DEPLOYED = "DEPLOYED"
    CREATE_FAILED = "CREATE_FAILED"
    BUILD_FAILED = "BUILD_FAILED"
    DEPLOY_FAILED = "DEPLOY_FAILED"
    SKIPPED = "SKIPPED"
    INTERRUPTED = "INTERRUPTED"
    UNKNOWN = "UNKNOWN"

    @property
    def ended(self) -> bool:
        """Whether the revision's story is over, well or badly."""
        return self in ENDED


ENDED = frozenset(
    {
        RevisionStatus.DEPLOYED,
        RevisionStatus.CREATE_FAILED,
        RevisionStatus.BUILD_FAILED,
        RevisionStatus.DEPLOY_FAILED,
        RevisionStatus.SKIPPED,
        RevisionStatus.INTERRUPTED,
    }
)


class DeploymentStatus(StrEnum):
    """The official statuses of a deployment."""

    AWAITING_DATABASE = "AWAITING_DATABASE"
    READY = "READY"
    UNUSED = "UNUSED"
    AWAITING_DELETE = "AWAITING_DELETE"
    AWAITING_FINAL_DELETE = "AWAITING_FINAL_DELETE"
    UNKNOWN = "UNKNOWN"


class SourceKind(StrEnum):
    """Where a revision's code comes from."""

    GITHUB = "github"
    EXTERNAL_DOCKER = "external_docker"
    INTERNAL_DOCKER = "internal_docker"
    INTERNAL_SOURCE = "internal_source"
    INTERNAL_TEMPLATE = "internal_template"


class Flavour(StrEnum):
    """Which server program a deployment runs."""

    PG = "pg"
    INMEM = "inmem"
    IMAGE = "image"
    """Whatever a container image of the user's own holds, as long as it speaks the Agent Server API."""


class PlaneKind(StrEnum):
    """What a data plane is made of."""

    LOCAL = "local"
    KUBERNETES = "kubernetes"


class Archive(BaseModel):
    """An uploaded source tree: where the plane fetches it and what it must turn out to be."""

    upload_id: UUID
    sha256: str
    size: int
    config_path: str = "langgraph.json"
    install_command: str | None = None
    build_command: str | None = None


class Policy(StrEnum):
    """What is done about drift."""

    REPAIR = "repair"
    REPORT = "report"
    """Look and tell, change nothing."""
    PAUSED = "paused"
    """Do not even look."""


class Entity(BaseModel):
    """All that a deployment workflow carries from run to run."""

    deployment_id: UUID
    plane: str = "local"
    rollouts: int = 0
    mending: Mending = Mending()
    noticed_by: str = ""
    """Who asked for a look at the plane that has not been taken yet."""
    noticed_at: datetime | None = None


class Wish(BaseModel):
    """One revision, resolved: everything a plane needs to make it real.

    `image` is set when the revision reuses an image (redeploy, a change of secrets or resources only);
    otherwise `archive` says what to build. The sealed fields are opened by the plane alone.
    """

    deployment_id: UUID
    revision_id: UUID
    number: int
    name: str
    source: SourceKind
    archive: Archive | None = None
    image: str | None = None
    image_uri: str | None = None
    flavour: Flavour = Flavour.PG
    replicas: int = 1
    memory_mb: int | None = None
    environment: str
    """The revision's own variables: a sealed JSON map."""
    defaults: str | None = None
    """Variables that `langgraph.json` itself sets, sealed; the revision's own win."""
    credentials: str
    """The deployment's database and Redis passwords: a sealed JSON map."""
    custom_postgres: bool = False
    custom_redis: bool = False
    resources: Resources = Resources()
    secret_references: list[SecretReference] = []
    hostnames: list[str] = []
    """Beside the generated address, as `custom_url` asks."""
    production: bool = False
    """Whether its state deserves volumes and backups: the deployment type `prod`."""
    purge: bool = False
    """Of a deployment that goes away: whether volumes that would be kept go too."""


class Intent(BaseModel):
    """What the record says one deployment should be now."""

    deployment_id: UUID
    name: str
    workspace: str
    plane: str
    deleted: bool = False
    wanted: Wish | None = None
    """The newest revision that has not ended and that nobody interrupted."""
    active: int | None = None
    """The number of the revision that serves, if one does."""
    serving: Wish | None = None
    """That revision, resolved: what a plane should show. None also once the deployment is deleted."""
    policy: Policy = Policy.REPAIR
    kind: PlaneKind = PlaneKind.LOCAL
    """Of the plane, as its worker told last."""


class Launch(BaseModel):
    """One rollout: the wish, where it is to come true, and for whom."""

    wish: Wish
    plane: str
    workspace: str = ""
    kind: PlaneKind = PlaneKind.LOCAL


class Phase(StrEnum):
    """What a deployment's workflow is at, as a search attribute; a rollout's is its revision's status."""

    RESTING = "RESTING"
    REPAIRING = "REPAIRING"
    ROLLING_OUT = "ROLLING_OUT"
    REMOVING = "REMOVING"


class Image(BaseModel):
    """What a build yields, named by its digest (`sha256:...`); never by anything that can move."""

    digest: str
    source_digest: str
    lock_digest: str
    server: str
    builder: str
    python: str
    size: int
    reused: bool = False
    """True when the same source and lock had been built before, so nothing was built now."""
    defaults: str | None = None
    """Variables set by `langgraph.json`, sealed: not part of the image, so they do not change its digest."""
    graphs: list[str] = []


class Plan(BaseModel):
    """What preflight learned about an archive before anything was built."""

    source_digest: str
    python: str
    graphs: list[str]


class ResourceKind(StrEnum):
    """The kinds of things a plane provisions; one inventory row each."""

    DATABASE = "database"
    ROLE = "role"
    REDIS = "redis"
    ROUTE = "route"
    PROCESS = "process"


class Resource(BaseModel):
    """One provisioned thing, by its natural name."""

    kind: ResourceKind
    name: str
    holds_data: bool = False
    """Whether taking it away would lose something that nobody can make again."""


class Replica(BaseModel):
    """One server process or pod as a plane saw it."""

    name: str
    revision: int
    index: int
    state: str
    """running, starting, stopping, backoff, dead"""
    pid: int | None = None
    healthy: bool = False


class Sighting(BaseModel):
    """What a plane saw of one deployment, and when."""

    deployment_id: UUID
    at: datetime
    replicas: list[Replica] = []
    serving: int | None = None
    """The number of the revision that the gateway leads to."""
    resources: list[Resource] = []


class Progress(BaseModel):
    """A step of a rollout, for the record: the revision's next status."""

    deployment_id: UUID
    revision_id: UUID
    number: int
    status: RevisionStatus
    detail: str = ""


class Built(BaseModel):
    """An image and the revision it was made or found for."""

    deployment_id: UUID
    revision_id: UUID
    image: Image


class Outcome(BaseModel):
    """How a rollout ended; `cause` is set unless it was deployed."""

    deployment_id: UUID
    revision_id: UUID
    number: int
    status: RevisionStatus
    cause: Cause | None = None


class Removed(BaseModel):
    """What is left of a deployment after its removal: nothing, shown by looking."""

    deployment_id: UUID
    left: list[Resource] = []


class Keep(BaseModel):
    """The images of a plane that some revision may still need; the rest may go."""

    plane: str
    digests: list[str]


class Swept(BaseModel):
    """What one sweep found, in a sentence for the Temporal UI and in numbers."""

    deployments: int = 0
    nudged: int = 0
    differing: int = 0
    orphans: int = 0
    sentence: str = ""
