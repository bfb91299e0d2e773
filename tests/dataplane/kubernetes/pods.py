"""Pods as the API shows them: a test names only what matters to it."""

from typing import Any

from dataplane.kubernetes import names
from dataplane.kubernetes.kinds import Manifest
from workflows import names as words
from workflows.shapes import Wish

MADE = "2026-01-01T00:00:00Z"
RUNS: dict[str, Any] = {"state": {"running": {"startedAt": "2026-01-01T00:01:00Z"}}, "ready": True}


def waits(reason: str, message: str = "", **more: Any) -> dict[str, Any]:
    """A container that is not begun."""
    return {"state": {"waiting": {"reason": reason, "message": message}}, **more}


def over(code: int = 1, reason: str = "Error", **more: Any) -> dict[str, Any]:
    """An end, for `state` or `lastState`."""
    return {
        "terminated": {
            "exitCode": code,
            "reason": reason,
            "finishedAt": "2026-01-01T00:02:00Z",
            "containerID": "containerd://1",
            **more,
        }
    }


def condition(name: str, status: bool, message: str = "", **more: Any) -> dict[str, Any]:
    return {"type": name, "status": str(status), "message": message, **more}


def a_pod(
    server: dict[str, Any] | None = None,
    *conditions: dict[str, Any],
    name: str = "one",
    first: dict[str, Any] | None = None,
    spec: dict[str, Any] | None = None,
    labels: dict[str, str] | None = None,
    ready: bool | None = None,
    meta: dict[str, Any] | None = None,
    **status: Any,
) -> Manifest:
    """A pod whose container `server` is so; `first` is one that only prepares."""
    said = list(conditions)
    if ready is not None:
        said.append(condition("Ready", ready))
    found: dict[str, Any] = {"phase": "Running", "conditions": said, **status}
    if server is not None:
        found["containerStatuses"] = [{"name": "server", "image": "app:1", "restartCount": 0, **server}]
    if first is not None:
        found["initContainerStatuses"] = [{"name": "prepare", "image": "busy:1", "restartCount": 0, **first}]
    metadata = {"name": name, "uid": f"uid-{name}", "creationTimestamp": MADE, "labels": labels or {}}
    return {"kind": "Pod", "metadata": {**metadata, **(meta or {})}, "spec": spec or {}, "status": found}


def of_server(wish: Wish, number: int | None = None) -> dict[str, str]:
    """The labels of a revision's servers."""
    changed = wish.model_copy(update={"number": wish.number if number is None else number})
    return {**names.of_revision("main", changed), names.ROLE: "server"}


def a_service(wish: Wish, **selector: str) -> Manifest:
    """A deployment's Service that leads where this selector says."""
    return {
        "kind": "Service",
        "metadata": {"name": words.slug(wish.name, wish.deployment_id)},
        "spec": {"selector": selector},
    }
