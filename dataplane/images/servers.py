"""Which server goes into an image, as far as building it is concerned; the versions are the flavours'.

Nothing of it is shipped with Graphyard; it is installed from the registry when an image is built.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from dataplane.flavours import flavour
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
    name: ServerPackages(name, flavour(name).version, flavour(name).requirements)
    for name in (Flavour.PG, Flavour.INMEM)
}
