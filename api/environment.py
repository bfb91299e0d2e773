"""The rules of a deployment's variables: which names are taken, what fits a process, what must stay set."""

import re
from collections.abc import Iterable, Mapping

from api.bodies import Secret
from api.problems import SourceConfiguration, Unacceptable
from workflows.shapes import Flavour

RESERVED = frozenset(
    {
        "LANGCHAIN_TRACING_V2",
        "LANGSMITH_TRACING_V2",
        "LANGCHAIN_ENDPOINT",
        "LANGCHAIN_PROJECT",
        "LANGSMITH_PROJECT",
        "LANGSMITH_LANGGRAPH_GIT_REPO",
        "LANGGRAPH_GIT_REPO_PATH",
        "LANGCHAIN_API_KEY",
        "LANGSMITH_CONTROL_PLANE_API_KEY",
        "POSTGRES_URI",
        "POSTGRES_PASSWORD",
        "DATABASE_URI",
        "LANGSMITH_LANGGRAPH_GIT_REF",
        "LANGSMITH_LANGGRAPH_GIT_REF_SHA",
        "LANGGRAPH_AUTH_TYPE",
        "LANGSMITH_AUTH_ENDPOINT",
        "LANGSMITH_TENANT_ID",
        "LANGSMITH_AUTH_VERIFY_TENANT_ID",
        "LANGSMITH_HOST_PROJECT_ID",
        "LANGSMITH_HOST_PROJECT_NAME",
        "LANGSMITH_HOST_REVISION_ID",
        "LOG_JSON",
        "LOG_DICT_TRACEBACKS",
        "REDIS_URI",
        "LANGCHAIN_CALLBACKS_BACKGROUND",
        "DD_TRACE_PSYCOPG_ENABLED",
        "DD_TRACE_REDIS_ENABLED",
        "LANGSMITH_DEPLOYMENT_NAME",
        "LANGGRAPH_CLOUD_LICENSE_KEY",
    }
)
SERVER = "GRAPHYARD_SERVER"
BUILT_WITH = (Flavour.PG, Flavour.INMEM)
"""The servers that a source can be built with; an image of the user's own brings its server along."""
CUSTOM = {
    "POSTGRES_URI_CUSTOM": re.compile(r"postgres(ql)?://\S+"),
    "REDIS_URI_CUSTOM": re.compile(r"(rediss?|unix)://\S+"),
}
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
MOST = 500
LARGEST = 256 * 1024
LARGEST_ENTRY = 131_000
"""Linux starts no process with a single `NAME=value` of 128 KiB or more."""


def checked(secrets: Iterable[Secret]) -> dict[str, str]:
    """The variables as a map, or the refusal of the first that cannot be."""
    values: dict[str, str] = {}
    size = 0
    for secret in secrets:
        _check_name(secret.name)
        if secret.name in values:
            raise Unacceptable(f"secrets: the variable '{secret.name}' is given twice.")
        if (entry := len(secret.name) + len(secret.value.encode()) + 2) > LARGEST_ENTRY:
            raise Unacceptable(
                f"secrets: the variable '{secret.name}' is {entry} bytes long; a process takes at most "
                f"{LARGEST_ENTRY}."
            )
        size += entry
        values[secret.name] = secret.value
    if len(values) > MOST:
        raise Unacceptable(
            f"secrets: {len(values)} variables are too many; {MOST} is the most a deployment may have."
        )
    if size > LARGEST:
        raise Unacceptable(
            f"secrets: {size} bytes in all are too many; {LARGEST} is the most for one deployment."
        )
    for name, pattern in CUSTOM.items():
        if name in values and not pattern.fullmatch(values[name]):
            raise Unacceptable(f"secrets: '{name}' is not a connection URL (its value is not shown here).")
    flavour(values)
    return values


def _check_name(name: str) -> None:
    if not name:
        raise Unacceptable("secrets: a variable without a name.")
    shown = name[:80]
    if not NAME.fullmatch(name):
        raise Unacceptable(
            f"secrets: '{shown}' is not a variable name; use letters, digits and _, no digit first."
        )
    if len(name) > 256:
        raise Unacceptable(f"secrets: the name '{shown}…' is longer than 256 characters.")
    if name in RESERVED:
        raise Unacceptable(f"'{name}' is reserved: the platform sets it for every server.")
    if name.startswith("GRAPHYARD_") and name != SERVER:
        raise Unacceptable(
            f"'{name}' is reserved: of the names that start with GRAPHYARD_ only {SERVER} is yours."
        )


def flavour(values: Mapping[str, str], default: Flavour = Flavour.PG) -> Flavour:
    """Which server the variables ask for."""
    wanted = values.get(SERVER)
    if wanted is None:
        return default
    if wanted not in BUILT_WITH:
        known = " or ".join(f"'{one}'" for one in BUILT_WITH)
        raise Unacceptable(f"{SERVER} must be {known}, not '{wanted[:40]}'.")
    return Flavour(wanted)


def check_kept(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """A database of one's own, once set, stays: without it the servers would wake up with empty state."""
    for name in CUSTOM:
        if name in before and name not in after:
            raise SourceConfiguration(
                f"secrets: '{name}' was set and must stay set (its value may change); send it along."
            )
