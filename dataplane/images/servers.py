"""Which server goes into an image: exact versions, because an unpinned name can silently bring an old one.

Nothing of it is shipped with Graphyard; it is installed from the registry when an image is built.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from workflows.shapes import Flavour


@dataclass(frozen=True)
class ServerPackages:
    """One flavour's packages."""

    flavour: Flavour
    version: str
    """Of langgraph-api."""
    runtime: str
    """The requirement that brings the runtime, exact."""

    @property
    def name(self) -> str:
        return f"langgraph-api=={self.version}"

    @property
    def requirements(self) -> tuple[str, ...]:
        return (self.name, self.runtime)


PINNED: Mapping[Flavour, ServerPackages] = {
    Flavour.PG: ServerPackages(Flavour.PG, "0.11.1", "langgraph-runtime-pg==0.11.1.post1"),
    Flavour.INMEM: ServerPackages(Flavour.INMEM, "0.16.7", "langgraph-runtime-inmem==0.36.7"),
}
