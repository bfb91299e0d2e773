"""What the watch knew last, kept in the cluster that it watches: a worker has no disk of its own."""

import base64
import json
import zlib
from collections.abc import Mapping
from uuid import UUID

from dataplane.kubernetes import names
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.kinds import CONFIG_MAP, Manifest

FORMAT = 1
KEY = "known"


class Remembered:
    """One ConfigMap per plane; none while there is nothing to know."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._name = f"watched-{cluster.plane}"

    async def load(self) -> dict[str, tuple[UUID, str]] | None:
        """By the eight digits; None where nothing is kept that can be read."""
        found = await self._cluster.get(CONFIG_MAP, self._name)
        if found is None or not self._cluster.is_ours(found):
            return None
        try:
            said = json.loads(zlib.decompress(base64.b64decode(found["binaryData"][KEY])))
            if said["format"] != FORMAT:
                return None
            return {short: (UUID(owner), str(mark)) for short, (owner, mark) in said["known"].items()}
        except (ValueError, LookupError, TypeError, AttributeError, zlib.error):
            return None

    async def save(self, known: Mapping[str, tuple[UUID, str]]) -> None:
        """All of it, or nothing if there is nothing."""
        if not known:
            await self._cluster.delete(CONFIG_MAP, self._name)
            return
        await self._cluster.apply(written(self._cluster.plane, self._cluster.namespace, self._name, known))


def written(plane: str, namespace: str, name: str, known: Mapping[str, tuple[UUID, str]]) -> Manifest:
    """The ConfigMap that says so."""
    said = {
        "format": FORMAT,
        "known": {short: [str(owner), mark] for short, (owner, mark) in known.items()},
    }
    packed = zlib.compress(json.dumps(said, separators=(",", ":")).encode())
    return {
        "apiVersion": "v1",
        "kind": CONFIG_MAP.name,
        "metadata": {"name": name, "namespace": namespace, "labels": names.mine(plane)},
        "binaryData": {KEY: base64.b64encode(packed).decode()},
    }
