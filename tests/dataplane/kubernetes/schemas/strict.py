"""A server's OpenAPI document as a strict judge of manifests: unknown fields are faults, and quantities, numbers of so
many bits and what may be a number or a name are what the server's own decoder takes.

Swagger 2 is built on the fourth draft of JSON Schema, in which 1.0 is no integer; nor is it one to an API server.
"""

import gzip
import json
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft4Validator

from dataplane.kubernetes.kinds import Manifest
from tests.dataplane.kubernetes.schemas import take

QUANTITY = r"^[+-]?(\d+(\.\d*)?|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?\Z"
BASE64 = r"^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?\Z"
INSTANT = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)\Z"
FORMATS: Mapping[str, Mapping[str, Any]] = {
    "byte": {"pattern": BASE64},
    "date-time": {"pattern": INSTANT},
    "int32": {"minimum": -(2**31), "maximum": 2**31 - 1},
    "int64": {"minimum": -(2**63), "maximum": 2**63 - 1},
}
WHOLE = {"type": "integer", **FORMATS["int32"]}
OTHERWISE: Mapping[str, Mapping[str, Any]] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {
        "anyOf": [{"type": "number"}, {"type": "string", "pattern": QUANTITY}]
    },
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"anyOf": [WHOLE, {"type": "string"}]},
}
"""What documents call a string, and decoders know better."""


class Unknown(LookupError):
    """The server has no such kind, or not in this version."""


class Strict:
    """What one release takes."""

    def __init__(self, document: take.Document) -> None:
        found = document["definitions"]
        self.release = str(document["info"]["version"])
        self._definitions = {name: OTHERWISE.get(name) or _strict(one) for name, one in found.items()}
        self._names = {
            (f"{said['group']}/{said['version']}".lstrip("/"), said["kind"]): name
            for name, one in found.items()
            for said in one.get(take.SAID, ())
            if take.known(said)
        }

    @property
    def kinds(self) -> set[tuple[str, str]]:
        """All that it knows, as `apiVersion` and `kind`."""
        return set(self._names)

    def faults(self, manifest: Manifest) -> list[str]:
        """What it would not take, each with where that is. Raises `Unknown` for another's kind."""
        said = manifest.get("apiVersion"), manifest.get("kind")
        if said not in self._names:
            raise Unknown(f"{self.release} has no {said[1]} of {said[0]}")
        root = {"$ref": f"{take.REFERS}{self._names[said]}", "definitions": self._definitions}
        return [
            f"{'.'.join(str(one) for one in fault.absolute_path)}: {fault.message}"
            for fault in Draft4Validator(root).iter_errors(manifest)
        ]


def carried(release: str) -> Strict:
    """The judge of a release whose document is kept here."""
    return Strict(json.loads(gzip.decompress(take.file(release).read_bytes())))


def _strict(found: Any) -> Any:
    if not isinstance(found, dict):
        return found
    made = {name: _strict(one) for name, one in found.items()}
    if isinstance(made.get("properties"), dict) and made.get("type") == "object":
        made.setdefault("additionalProperties", False)
    return {**made, **FORMATS.get(str(made.get("format")), {})}
