"""What of an object is worth a word when it changes, and whether it changed for the worse: pure.

Of what we write, all that was wished counts, and its state does not: that shows in its pods. Of a pod only its
state counts; that one comes up is nobody's news.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from dataplane.kubernetes import names
from dataplane.kubernetes.kinds import Manifest, ending

WISHED = ("spec", "data", "type", "stringData")
"""What of an object somebody wished; all else is its state or its bookkeeping."""
CONTROLLERS = frozenset({"kube-controller-manager", "kube-scheduler", "kubelet"})
HOPELESS = frozenset(
    {
        "CrashLoopBackOff",
        "ImagePullBackOff",
        "ErrImagePull",
        "InvalidImageName",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    }
)
"""Why a container waits that will not come up by waiting."""


@dataclass(frozen=True)
class Life:
    """How a pod is."""

    ready: bool
    ending: bool
    failed: bool
    restarts: int
    waits: str
    """Why it does not come up, if that is so."""
    images: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trace:
    """One object as far as it matters."""

    kind: str
    name: str
    short: str
    owner: UUID | None
    revision: int | None
    role: str
    mark: str
    """Changes whenever anything does that was wished."""
    manager: str
    """Who changed it last, as far as its bookkeeping tells; empty where nobody can tell."""
    life: Life | None = None
    leads: int | None = None
    """Of a Service, the revision that it leads to."""
    ending: bool = False


def trace(found: Manifest) -> Trace:
    """The trace of one object."""
    metadata = found["metadata"]
    labels = metadata.get("labels") or {}
    pod = found["kind"] == "Pod"
    selector = (found.get("spec") or {}).get("selector") if found["kind"] == "Service" else None
    return Trace(
        kind=found["kind"],
        name=metadata["name"],
        short=labels.get(names.SHORT, ""),
        owner=_owner(metadata),
        revision=_number(labels.get(names.REVISION)),
        role=labels.get(names.ROLE, ""),
        mark="" if pod else _mark(found, labels),
        manager="" if pod else last_manager(metadata),
        life=_life(found) if pod else None,
        leads=_number((selector or {}).get(names.REVISION)),
        ending=ending(found),
    )


def news(before: Trace | None, after: Trace | None) -> str | None:
    """What is to be told of an object that was so and is so now; None for nothing."""
    if after is None:
        if before is None:
            return None
        return None if before.ending else f"{before.kind} {before.name} is gone"
    if after.life is not None:
        why = _worse(before.life if before else None, after.life)
        return f"Pod {after.name} {why}" if why else None
    if after.ending and not (before and before.ending):
        return f"{after.kind} {after.name} is being deleted"
    if before is None or before.mark == after.mark:
        return None
    return f"{after.kind} {after.name} was changed"


def better(before: Trace | None, after: Trace | None) -> bool:
    """Whether a pod takes requests that did not. One that is being ended may still come up: nobody waits for that."""
    if after is None or after.life is None or not after.life.ready or after.life.ending:
        return False
    return before is None or before.life is None or not before.life.ready


def last_manager(metadata: Mapping[str, Any]) -> str:
    """Whoever wrote something wished last, the cluster itself only if it is alone. Times are whole seconds: of us
    and a stranger in the same one, nobody can tell."""
    entries = [
        entry
        for entry in metadata.get("managedFields") or ()
        if entry.get("manager") not in CONTROLLERS
        and entry.get("subresource", "") != "status"
        and not (entry.get("fieldsV1") or {}).keys() <= {"f:status"}
    ]
    if not entries and metadata.get("managedFields"):
        return next(iter(sorted(CONTROLLERS)))
    latest = max((entry.get("time") or "" for entry in entries), default="")
    last = {str(entry.get("manager", "")) for entry in entries if (entry.get("time") or "") == latest}
    return "" if names.MANAGER in last and len(last) > 1 else min(last, default="")


def _owner(metadata: Mapping[str, Any]) -> UUID | None:
    try:
        return UUID((metadata.get("annotations") or {})[names.ID])
    except (KeyError, ValueError):
        return None


def _number(value: Any) -> int | None:
    return int(value) if isinstance(value, str) and value.isdecimal() else None


def _mark(found: Manifest, labels: Mapping[str, str]) -> str:
    said = {part: found[part] for part in WISHED if part in found}
    text = json.dumps([said, dict(labels)], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _life(pod: Manifest) -> Life:
    status = pod.get("status") or {}
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    waits = [((one.get("state") or {}).get("waiting") or {}).get("reason", "") for one in containers]
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions") or ())
    return Life(
        ready=ready,
        ending=ending(pod),
        failed=status.get("phase") == "Failed",
        restarts=sum(int(one.get("restartCount", 0)) for one in containers),
        waits=next((reason for reason in waits if reason in HOPELESS), ""),
        images=tuple(one.get("image", "") for one in (pod.get("spec") or {}).get("containers") or ()),
    )


def _worse(before: Life | None, after: Life) -> str:
    if before is None:
        return ""
    if after.ending and not before.ending:
        return "is being ended"
    if after.failed and not before.failed:
        return "failed"
    if after.ending or after.failed:
        return ""
    if after.images != before.images:
        return "was given another image"
    if after.restarts > before.restarts:
        return "died and was begun again"
    if after.waits and not before.waits:
        return f"cannot run: {after.waits}"
    if before.ready and not after.ready:
        return "takes no requests any more"
    return ""
