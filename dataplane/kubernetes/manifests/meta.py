"""Names, labels and annotations of a deployment's objects. What users add stands beside ours, never in its place:
labels decide who belongs to whom, and whom a policy lets in."""

import re
from collections.abc import Mapping
from typing import Any

from dataplane.kubernetes import names
from dataplane.kubernetes.site import Site
from workflows.shapes import Wish

ROLE = "server"
RESERVED = re.compile(r"graphyard\.dev/.*|app\.kubernetes\.io/managed-by|pod-template-hash")
NAME = "app.kubernetes.io/name"
"""By this the plane's own pods are let in; nobody else is to be called what they are."""
CONFINING = re.compile(r"(container\.)?(apparmor|seccomp)\.security\.[a-z]+\.kubernetes\.io/.*")
"""Annotations by which older releases loosen what confines a container."""


def of_deployment(site: Site, wish: Wish, name: str) -> dict[str, Any]:
    """For what all revisions of a deployment share."""
    labels = {**names.of_deployment(site.plane, wish.deployment_id), names.ROLE: ROLE}
    return _metadata(site, wish, name, labels)


def of_revision(site: Site, wish: Wish, name: str) -> dict[str, Any]:
    """For what one revision alone has."""
    return _metadata(site, wish, name, selected(site, wish))


def selected(site: Site, wish: Wish) -> dict[str, str]:
    """By which the pods of a revision are found."""
    return {**names.of_revision(site.plane, wish), names.ROLE: ROLE}


def labels(wish: Wish) -> dict[str, str]:
    """The user's own."""
    return {
        key: value
        for key, value in wish.resources.labels.items()
        if not RESERVED.fullmatch(key) and (key, value) != (NAME, names.MANAGER)
    }


def annotations(wish: Wish) -> dict[str, str]:
    """The user's own."""
    return {
        key: value
        for key, value in wish.resources.annotations.items()
        if not RESERVED.fullmatch(key) and not CONFINING.fullmatch(key)
    }


def _metadata(site: Site, wish: Wish, name: str, ours: Mapping[str, str]) -> dict[str, Any]:
    return {
        "name": name,
        "namespace": site.namespace,
        "labels": dict(ours),
        "annotations": {names.ID: str(wish.deployment_id)},
    }
