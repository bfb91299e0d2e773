"""A revision's variables, opened, as a Secret that is never changed: other values make another Secret, and so other
pods."""

import base64
from collections.abc import Mapping

from dataplane.kubernetes import names
from dataplane.kubernetes.kinds import Manifest
from dataplane.kubernetes.manifests import meta
from dataplane.kubernetes.site import Site
from workflows.shapes import Wish


def name(wish: Wish, fingerprint: str) -> str:
    """By the mark alone, without the name of the key that made it."""
    return names.environment(wish.deployment_id, wish.number, fingerprint.rpartition(".")[2])


def secret(site: Site, wish: Wish, values: Mapping[str, str], fingerprint: str) -> Manifest:
    """The Secret itself: the only object here that is not for everybody's eyes."""
    metadata = meta.of_revision(site, wish, name(wish, fingerprint))
    metadata["annotations"][names.FINGERPRINT] = fingerprint
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": "Opaque",
        "immutable": True,
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in sorted(values.items())},
    }
