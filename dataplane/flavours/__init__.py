"""Server flavours: what to install beside a project, how it starts, what is known to be wrong with it.

One small file each. The cures themselves live in `local/entry`, which runs inside the
server's process with the server's own Python.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from workflows.shapes import Flavour

MOST_REPLICAS = 4


@dataclass(frozen=True)
class ServerFlavour:
    """One kind of server program, pinned: an unpinned name can silently resolve to something years old."""

    name: Flavour
    requirements: tuple[str, ...]
    """What is installed into the bundle's venv beside the project."""
    version: str
    """What `/info` must answer."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """What makes it this flavour; a project cannot override it."""
    defaults: Mapping[str, str] = field(default_factory=dict)
    """What a project may override."""
    databases: bool = True
    """Whether it keeps its state in Postgres and Redis."""
    most_replicas: int = MOST_REPLICAS
    connections: int = 0
    """How many Postgres connections one replica may open."""
    health: str = "/ok?check_db=1"
    info: str = "/info"
    entry: bool = True
    """Whether our entry program runs in it: answers name their revision, a probe shows each graph, the pulse its
    queue, and runs are taken only while it serves."""


def flavour(name: Flavour) -> ServerFlavour:
    """The flavour of that name."""
    from dataplane.flavours import image, inmem, pg

    return {Flavour.PG: pg.PG, Flavour.INMEM: inmem.INMEM, Flavour.IMAGE: image.IMAGE}[name]
