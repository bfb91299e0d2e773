"""Keeps of what an API server publishes about its objects the part that is ours:

    kubectl get --raw /openapi/v2 | python -m tests.dataplane.kubernetes.schemas.take

writes it beside this file, named for the server's release. The same document makes the same file.
"""

import gzip
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dataplane.kubernetes.kinds import KINDS, Kind

PLACE = Path(__file__).parent
RBAC = "rbac.authorization.k8s.io"
BESIDE = (
    Kind("Eviction", "pods/eviction", "policy", ("v1", "v1beta1")),
    Kind("Namespace", "namespaces"),
    Kind("Role", "roles", RBAC),
    Kind("RoleBinding", "rolebindings", RBAC),
    Kind("ClusterRole", "clusterroles", RBAC),
    Kind("ClusterRoleBinding", "clusterrolebindings", RBAC),
)
"""What a plane only posts, and what only the chart makes."""
SAID = "x-kubernetes-group-version-kind"
REFERS = "#/definitions/"

Document = dict[str, Any]
"""As a server publishes it: `Any`, because its shape is OpenAPI's, not ours."""


def ours(document: Document) -> Document:
    """The definitions of the kinds that we know and of all that they refer to, without their prose."""
    definitions = document["definitions"]
    left = [name for name, one in definitions.items() if any(known(said) for said in one.get(SAID, ()))]
    kept: Document = {}
    while left:
        if (name := left.pop()) not in kept:
            kept[name] = _bare(definitions[name])
            left += _references(definitions[name])
    about = {"title": document["info"]["title"], "version": document["info"]["version"]}
    return {"swagger": document["swagger"], "info": about, "definitions": kept}


def known(said: Mapping[str, str]) -> bool:
    """Whether a definition that says so of itself is of a kind of ours."""
    return any(
        (said["kind"], said["group"]) == (kind.name, kind.group) and said["version"] in kind.versions
        for kind in (*KINDS.values(), *BESIDE)
    )


def file(release: str) -> Path:
    """Where the part of one release is kept."""
    return PLACE / f"{release}.json.gz"


def packed(document: Document) -> bytes:
    text = json.dumps(document, separators=(",", ":"), sort_keys=True)
    return gzip.compress(text.encode(), mtime=0)


def _references(found: Any) -> Iterator[str]:
    match found:
        case {"$ref": str(name)}:
            yield name.removeprefix(REFERS)
        case dict():
            for one in found.values():
                yield from _references(one)


def _bare(found: Any) -> Any:
    """Without descriptions; a property may be called so and is not one."""
    match found:
        case dict():
            return {
                name: _bare(one)
                for name, one in found.items()
                if name != "description" or not isinstance(one, str)
            }
        case _:
            return found


if __name__ == "__main__":
    taken = ours(json.load(sys.stdin))
    file(taken["info"]["version"]).write_bytes(packed(taken))
