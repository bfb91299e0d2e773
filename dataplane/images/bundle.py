"""What a built image is on this machine, for those who start servers from it: read from `bundle.json`.

Paths are kept relative to the bundle, so that its record says the same wherever the home lies. Nothing here
holds a variable's value: those travel sealed, beside the image.
"""

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel

from workflows.causes import Code, Refused
from workflows.shapes import Flavour

RECORD = "bundle.json"
COMPLETE = ".complete"
SOURCE = "source"
VENV = "venv"
FILED = "graphyard-source:"
"""Marks, inside `variables`, a text that is a path below the source and becomes absolute at start."""


def hexadecimal(digest: str) -> str:
    """The directory's name for `sha256:<hex>`."""
    return digest.removeprefix("sha256:")


def home_of(home: Path, digest: str) -> Path:
    """Where the bundle of that digest is, or would be."""
    return home / "images" / hexadecimal(digest)


class Graph(BaseModel):
    """One entry of `graphs`: a file below the source, or a module, and the name in it."""

    target: str
    attribute: str
    in_file: bool = True
    description: str | None = None


class Provenance(BaseModel):
    """What a bundle was made of; its digest follows from the first six."""

    source_digest: str
    lock_digest: str
    config_path: str
    flavour: Flavour
    python: str
    builder: str
    server: str
    """The server package and its version, `langgraph-api==…`."""
    size: int = 0
    created_at: str = ""
    platform: str = ""


class Record(BaseModel):
    """The whole of `bundle.json`."""

    digest: str
    provenance: Provenance
    graphs: dict[str, Graph]
    variables: dict[str, Any] = {}
    """What `langgraph.json` tells the server: LANGGRAPH_AUTH, LANGGRAPH_HTTP, …, not yet as text."""
    base: str = ""
    """The installed packages that this bundle shares with others of the same lock."""
    config: dict[str, Any] = {}
    """`langgraph.json` as it was given, without `env`."""


class Bundle:
    """A complete image: where its Python and its code are, and what its server needs to be told."""

    def __init__(self, path: Path, record: Record) -> None:
        self.path = path
        self.record = record

    @classmethod
    def load(cls, home: Path, digest: str) -> "Bundle":
        """The complete bundle of that digest; `Refused(IMAGE_GONE)` when there is none."""
        path = home_of(home, digest).absolute()
        if not (path / COMPLETE).exists():
            raise Refused(
                Code.IMAGE_GONE,
                f"The image {digest} is not on this machine any more.",
                "Deploy the source again.",
            )
        return cls(path, Record.model_validate_json((path / RECORD).read_bytes()))

    @property
    def digest(self) -> str:
        return self.record.digest

    @property
    def flavour(self) -> Flavour:
        return self.record.provenance.flavour

    @property
    def python(self) -> Path:
        """The interpreter to start; it finds the server and the project without further ado."""
        return self.path / VENV / "bin" / "python"

    @property
    def bin(self) -> Path:
        """Programs the project's packages brought; goes in front of PATH."""
        return self.path / VENV / "bin"

    @property
    def source(self) -> Path:
        """The root of the unpacked archive."""
        return self.path / SOURCE

    @property
    def workdir(self) -> Path:
        """Where `langgraph.json` lies: the directory the project's relative paths mean."""
        return self.source / PurePosixPath(self.record.provenance.config_path).parent

    @property
    def graphs(self) -> dict[str, str]:
        """Each graph's name and where the server imports it from, absolute."""
        return {name: self._spec(graph) for name, graph in self.record.graphs.items()}

    def environment(self) -> dict[str, str]:
        """The variables that come from `langgraph.json`; no secrets, no database, no ports."""
        graphs = {
            name: {"path": self._spec(graph), "description": graph.description}
            if graph.description
            else self._spec(graph)
            for name, graph in self.record.graphs.items()
        }
        values = {"LANGSERVE_GRAPHS": json.dumps(graphs)}
        for name, value in self.record.variables.items():
            values[name] = json.dumps(self._absolute(value))
        return values

    def _spec(self, graph: Graph) -> str:
        where = str(self.source / graph.target) if graph.in_file else graph.target
        return f"{where}:{graph.attribute}"

    def _absolute(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: self._absolute(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._absolute(inner) for inner in value]
        if isinstance(value, str) and value.startswith(FILED):
            return str(self.source / value.removeprefix(FILED))
        return value
