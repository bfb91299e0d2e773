"""What an image says of itself in labels, so that whoever finds it knows all that whoever built it knew: pure."""

import json
from datetime import datetime

from dataplane.kubernetes.registry import Described
from workflows.shapes import Image

PREFIX = "dev.graphyard."
KEY = f"{PREFIX}key"
FLAVOUR = f"{PREFIX}flavour"
SOURCE = f"{PREFIX}source"
LOCK = f"{PREFIX}lock"
SERVER = f"{PREFIX}server"
BUILDER = f"{PREFIX}builder"
PYTHON = f"{PREFIX}python"
GRAPHS = f"{PREFIX}graphs"
CREATED = f"{PREFIX}created"


def told(
    *,
    key: str,
    flavour: str,
    source: str,
    lock: str,
    server: str,
    builder: str,
    python: str,
    graphs: list[str],
    created: datetime,
) -> dict[str, str]:
    """The labels of an image that was just built."""
    return {
        KEY: key,
        FLAVOUR: flavour,
        SOURCE: source,
        LOCK: lock,
        SERVER: server,
        BUILDER: builder,
        PYTHON: python,
        GRAPHS: json.dumps(graphs, separators=(",", ":")),
        CREATED: created.isoformat(timespec="seconds"),
    }


def image_of(found: Described, *, reused: bool = False, defaults: str | None = None) -> Image:
    """An image from what its registry says."""
    labels = found.labels
    return Image(
        digest=found.digest,
        source_digest=labels.get(SOURCE, ""),
        lock_digest=labels.get(LOCK, ""),
        server=labels.get(SERVER, ""),
        builder=labels.get(BUILDER, ""),
        python=labels.get(PYTHON, ""),
        size=found.size,
        reused=reused,
        defaults=defaults,
        graphs=_graphs(labels.get(GRAPHS, "[]")),
    )


def age(found: Described, now: datetime) -> float | None:
    """Seconds since it was made; None if it does not say in a way that can be read."""
    said = found.labels.get(CREATED) or found.created
    try:
        return (now - datetime.fromisoformat(said)).total_seconds()
    except (ValueError, TypeError):
        return None


def _graphs(text: str) -> list[str]:
    try:
        found = json.loads(text)
    except ValueError:
        return []
    return [str(one) for one in found] if isinstance(found, list) else []
