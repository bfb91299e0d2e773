"""Why a revision failed: a closed list of codes, each with the sentence that tells what to do.

The code is for programs (it never changes its meaning), the message is what was seen this time, the
fix is ours. A cause is made where the failure is known, at the edge of a plane or at the door, and then
travels unchanged into the revision, its event, the Temporal UI and the caller's terminal.
"""

from enum import StrEnum

from pydantic import BaseModel


class Code(StrEnum):
    """What went wrong, in one word that programs may match on."""

    ARCHIVE_UNSAFE = "ArchiveUnsafe"
    ARCHIVE_TOO_LARGE = "ArchiveTooLarge"
    ARCHIVE_UNREADABLE = "ArchiveUnreadable"
    SOURCE_MISSING = "SourceMissing"
    CONFIG_MISSING = "ConfigMissing"
    CONFIG_INVALID = "ConfigInvalid"
    GRAPH_MISSING = "GraphMissing"
    DEPENDENCY_MISSING = "DependencyMissing"
    PYTHON_UNAVAILABLE = "PythonUnavailable"
    NOT_ON_THIS_PLANE = "NotOnThisPlane"
    ENVIRONMENT_RESERVED = "EnvironmentReserved"
    CONNECTION_BUDGET = "ConnectionBudget"
    RESOLUTION_FAILED = "ResolutionFailed"
    INSTALL_FAILED = "InstallFailed"
    BUILD_COMMAND_FAILED = "BuildCommandFailed"
    REGISTRY_UNREACHABLE = "RegistryUnreachable"
    DISK_FULL = "DiskFull"
    IMAGE_GONE = "ImageGone"
    DATABASE_FAILED = "DatabaseFailed"
    IMPORT_FAILED = "ImportFailed"
    ENVIRONMENT_MISSING = "EnvironmentMissing"
    MIGRATION_FAILED = "MigrationFailed"
    CRASH_LOOP = "CrashLoop"
    OUT_OF_MEMORY = "OutOfMemory"
    NO_PROGRESS = "NoProgress"
    PROOF_FAILED = "ProofFailed"
    GATEWAY_FAILED = "GatewayFailed"
    IMAGE_REFUSED = "ImageRefused"
    """The cluster's nodes cannot pull it: missing there, or not for whom they are."""
    UNSCHEDULABLE = "Unschedulable"
    PROBE_FAILING = "ProbeFailing"
    QUOTA_EXCEEDED = "QuotaExceeded"
    VOLUME_UNBOUND = "VolumeUnbound"
    ADMISSION_DENIED = "AdmissionDenied"
    SECRET_MISSING = "SecretMissing"  # noqa: S105 - the name of a cause
    NOT_OURS = "NotOurs"
    """Something of that name is there already, and we did not make it."""
    SUPERSEDED = "Superseded"
    INTERRUPTED = "Interrupted"
    INTERNAL = "Internal"


class Cause(BaseModel):
    """One failure, told to a person: what happened and what to do about it."""

    code: Code
    message: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.message} {self.fix}".strip()


class Refused(Exception):
    """Something that trying again cannot heal; whoever raises it knows the cause."""

    def __init__(self, code: Code, message: str, fix: str = "") -> None:
        self.cause = Cause(code=code, message=message, fix=fix)
        super().__init__(str(self.cause))
