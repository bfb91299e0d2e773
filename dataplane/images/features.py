"""The parts of `langgraph.json` that the server itself acts on, turned into the variables it reads.

Which of them work depends on the flavour: the server accepts all of them, also those its runtime then never
looks at. A project that asks for semantic search and gets none would fail in ways nobody connects with it.
"""

from collections.abc import Mapping
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from dataplane.images.archive import Tree
from dataplane.images.bundle import FILED
from dataplane.images.config import Project, elsewhere, invalid, target_of
from dataplane.images.servers import ServerPackages
from workflows.causes import Code
from workflows.shapes import Flavour

VARIABLES = {
    "store": "LANGGRAPH_STORE",
    "auth": "LANGGRAPH_AUTH",
    "encryption": "LANGGRAPH_ENCRYPTION",
    "http": "LANGGRAPH_HTTP",
    "webhooks": "LANGGRAPH_WEBHOOKS",
    "checkpointer": "LANGGRAPH_CHECKPOINTER",
}
PATHS = (
    ("auth", "path"),
    ("encryption", "path"),
    ("http", "app"),
    ("checkpointer", "path"),
    ("store", "path"),
)
UNKNOWN_TO_PG = (
    ("store", "index", "the 'pg' server's store has no semantic search"),
    ("store", "ttl", "the 'pg' server's store does not expire items"),
    ("checkpointer", "ttl", "the 'pg' server does not expire threads"),
    ("encryption", "path", "the 'pg' server would keep everything unencrypted"),
)
INSTEAD = "Leave it out, or choose the server that can with GRAPHYARD_SERVER=inmem."


def variables(tree: Tree, project: Project, server: ServerPackages) -> dict[str, Any]:
    """What the server is told, paths marked for `Bundle` to make absolute; refuses what would be ignored."""
    raw = project.raw
    _check_version(raw.get("api_version"), server)
    if raw.get("priority"):
        raise elsewhere("priority", f"langgraph-api {server.version} does not know it")
    if server.flavour == Flavour.PG:
        for key, part, why in UNKNOWN_TO_PG:
            if (raw.get(key) or {}).get(part):
                raise elsewhere(f"{key}.{part}", why, INSTEAD)
    http = raw.get("http") or {}
    if http.get("mount_prefix"):
        raise elsewhere(
            "http.mount_prefix", "the gateway gives every deployment its own prefix", "Leave it out."
        )
    if http.get("disable_meta"):
        raise elsewhere(
            "http.disable_meta", "without /ok and /info no revision can be proved", "Leave it out."
        )
    values = {name: dict(raw[key]) for key, name in VARIABLES.items() if raw.get(key) is not None}
    for key, part in PATHS:
        if (spec := (raw.get(key) or {}).get(part)) is not None:
            values[VARIABLES[key]][part] = _marked(tree, project, f"{key}.{part}", spec)
    index = (raw.get("store") or {}).get("index")
    if isinstance(index, Mapping) and "/" in str(index.get("embed", "")).partition(":")[0]:
        embed = _marked(tree, project, "store.index.embed", index["embed"])
        values["LANGGRAPH_STORE"]["index"] = {**index, "embed": embed}
    return values


def files(values: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Which key names which file of the archive and which name in it."""
    named = []
    for key, part in PATHS:
        spec = values.get(VARIABLES[key], {}).get(part)
        if isinstance(spec, str) and spec.startswith(FILED):
            path, _, attribute = spec.removeprefix(FILED).rpartition(":")
            named.append((f"{key}.{part}", path, attribute))
    return named


def _marked(tree: Tree, project: Project, what: str, spec: Any) -> str:
    if not isinstance(spec, str):
        raise invalid(f"'{what}' must be text like './file.py:name'")
    module, _, attribute = spec.rpartition(":")
    if not module or not attribute:
        raise invalid(f"{what}: '{spec}' is not like './file.py:name'")
    target, in_file = target_of(tree, project.base, module, what, Code.CONFIG_INVALID)
    return f"{FILED if in_file else ''}{target}:{attribute}"


def _check_version(wanted: str | None, server: ServerPackages) -> None:
    """`api_version` is a promise about the server; ours is pinned, so it either holds or it does not."""
    if not wanted:
        return
    operator, version = ("~=", wanted.removeprefix(">").removeprefix("~=").strip())
    if wanted.startswith(("~=", ">~=")):
        text = f">={version}" if wanted.startswith(">~=") else f"{operator}{version}"
        if text.startswith("~=") and version.count(".") == 0:
            text = f"=={version}.*"
    else:
        text = f"=={version}" if version.count(".") >= 2 else f"=={version}.*"
    try:
        holds = SpecifierSet(text).contains(server.version, prereleases=True)
    except InvalidSpecifier:
        raise invalid(f"api_version '{wanted}' is not a version") from None
    if not holds:
        raise elsewhere(
            f"api_version '{wanted}'",
            f"the '{server.flavour}' server here is langgraph-api {server.version}",
            "Leave it out, or ask for that version.",
        )
