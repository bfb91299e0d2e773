"""What a pod and each of its containers may do: no more than their work, whatever a user asks for."""

from collections.abc import Mapping
from typing import Any

from dataplane.flavours import flavour
from workflows.shapes import Wish

USER = 10001
"""Of our images; what is built on them belongs to nobody who runs."""
DEFAULT = {"type": "RuntimeDefault"}


def ours(wish: Wish) -> bool:
    """Whether we know what is in the image: then it needs no root, and nothing to write but /tmp."""
    return flavour(wish.flavour).entry


def of_pod(wish: Wish) -> dict[str, Any]:
    """For all of its containers."""
    if not ours(wish):
        return {"seccompProfile": DEFAULT}
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        # Else every start gives the group rights to every file.
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": DEFAULT,
    }


def of_server(wish: Wish) -> dict[str, Any]:
    """For the server's own container."""
    return {**_confined(), **({"readOnlyRootFilesystem": True} if ours(wish) else {})}


def of_other(wish: Wish, asked: Mapping[str, Any] | None) -> dict[str, Any]:
    """For a user's: as asked for, as far as it does not loosen anything."""
    kept = {
        key: value
        for key, value in (asked or {}).items()
        if key in ("runAsUser", "runAsGroup", "readOnlyRootFilesystem") and value != 0
    }
    return {**kept, **({"runAsNonRoot": True} if ours(wish) else {}), **_confined()}


def _confined() -> dict[str, Any]:
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": DEFAULT,
    }
