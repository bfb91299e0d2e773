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
    requirements: tuple[str, ...]
    """All that is installed for it, exact."""

    @property
    def name(self) -> str:
        return f"langgraph-api=={self.version}"


PINNED: Mapping[Flavour, ServerPackages] = {
    Flavour.PG: ServerPackages(
        Flavour.PG, "0.11.1", ("langgraph-api==0.11.1", "langgraph-runtime-pg==0.11.1.post1")
    ),
    Flavour.INMEM: ServerPackages(
        Flavour.INMEM, "0.16.7", ("langgraph-api==0.16.7", "langgraph-runtime-inmem==0.36.7")
    ),
}
