"""How a build stands, read from its Job, its pod and what it said last: pure."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataplane.images import failures
from dataplane.kubernetes.images.order import BAKE, FETCH, PUSH, STEPS
from dataplane.kubernetes.kinds import Manifest
from dataplane.kubernetes.waiting import obstacle
from workflows.causes import Cause, Code, Refused

STEP = re.compile(r"^(?:\[\d+/\d+\] )?STEP \d+/\d+: (?P<what>.*)")
OWN = re.compile(r"^Error: |^bake: |^time=|^subprocess exited|^exit status")
"""What buildah says about a step that failed, which said itself why."""
UNTRUSTED = "fetch: untrusted: "
DENIED = re.compile(
    r"unauthorized: |unauthenticated: |(?<!permission )denied: |\(Forbidden\)|no basic auth credentials"
)
"""What buildah says of a registry that knows us, but not like this."""
RESOLVING = (
    "No solution found",
    "not found at",
    "Couldn't parse requirement",
    "No matching distribution found",
)


class Broken(Exception):
    """A build that ended without a fault of the project; trying again may work."""


@dataclass(frozen=True)
class Made:
    """What a build that went well left behind."""

    digest: str
    lock: str


def begun(pod: Manifest | None, step: str) -> bool:
    """Whether a container has said something, or could have."""
    state = _state(pod, step)
    return "running" in state or "terminated" in state


def over(pod: Manifest, step: str) -> bool:
    """Whether a container says nothing more."""
    return "terminated" in _state(pod, step)


def hindrance(pod: Manifest | None) -> Cause | None:
    """Why a pod does not begin; None while nothing is known to hinder it."""
    if pod is None or any(begun(pod, step) for step in STEPS):
        return None
    found = obstacle(pod)
    return found.cause if found else None


def hopeless(pod: Manifest | None) -> bool:
    """Whether it will not begin however long one waits."""
    if pod is None or any(begun(pod, step) for step in STEPS):
        return False
    found = obstacle(pod)
    return bool(found and found.hopeless)


def ended(
    job: Manifest,
    pod: Manifest | None,
    said: Mapping[str, Sequence[str]],
    hindered: Cause | None,
    seconds: float,
) -> Made | None:
    """What came of it; None while it goes on. Raises `Refused` for what another try would not heal, else `Broken`."""
    if pod is not None and over(pod, PUSH):
        push = _state(pod, PUSH)["terminated"]
        if push.get("exitCode") == 0:
            return _made(str(push.get("message", "")))
    failed = _condition(job, "Failed")
    if failed.get("reason") == "DeadlineExceeded":
        raise Refused(
            hindered.code if hindered else Code.NO_PROGRESS,
            hindered.message if hindered else f"The build did not end within {seconds:.0f} seconds.",
            (hindered.fix if hindered else "")
            or "Make it shorter, or have whoever keeps the plane allow builds more time.",
        )
    if pod is None or not (failed or (pod.get("status") or {}).get("phase") == "Failed"):
        if failed:
            raise Broken(f"the build's pod is gone: {failed.get('message', '')[:200]}")
        return None
    _evicted(pod)
    for step in (FETCH, BAKE, PUSH):
        last = _state(pod, step).get("terminated") or {}
        if last and last.get("exitCode") != 0:
            raise _why(step, last, said.get(step, ()))
    raise Broken("the build's pod ended by itself")


def _made(message: str) -> Made:
    try:
        told = json.loads(message)
        return Made(str(told["digest"]), str(told["lock"]))
    except (ValueError, KeyError, TypeError):
        raise Broken("the build ended without saying what it made") from None


def _evicted(pod: Manifest) -> None:
    status = pod.get("status") or {}
    if status.get("reason") != "Evicted":
        return
    if "storage" in status.get("message", ""):
        raise Refused(
            Code.DISK_FULL,
            f"The node ended the build: {status['message'][:300]}.",
            "Make the project or its dependencies smaller, or give nodes more room.",
        )
    raise Broken(f"the node ended the build: {status.get('message', '')[:200]}")


def _why(step: str, last: Mapping[str, Any], lines: Sequence[str]) -> Exception:
    if last.get("reason") == "OOMKilled":
        return Refused(
            Code.OUT_OF_MEMORY,
            "The build ran out of memory.",
            "Have whoever keeps the plane give builds more, or build less at once.",
        )
    if last.get("exitCode") in (137, 143) and not any(line.startswith("Error:") for line in lines):
        return Broken("the build was ended from outside")
    if step == BAKE:
        return of_step(lines)
    if untrusted := next((line for line in lines if line.startswith(UNTRUSTED)), ""):
        return Refused(
            Code.INTERNAL,
            f"A build does not trust the API's certificate ({untrusted.removeprefix(UNTRUSTED)[:200]}), and did not "
            "fetch the source.",
            "Whoever keeps the plane has to name who vouches for it (apiCa; GRAPHYARD_API_CA).",
        )
    if any(DENIED.search(line) for line in lines):
        return locked_out("pushing what was built" if step == PUSH else "pulling the base")
    spoken = next((line for line in reversed(lines) if line.strip()), "")
    spoken = (
        spoken
        or f"exit code {last.get('exitCode')}, {last.get('message') or last.get('reason') or 'no reason'}"
    )
    what = "the source or the base" if step == FETCH else "the image"
    return Broken(f"{what} could not be moved: {spoken[:300]}")


def locked_out(doing: str) -> Refused:
    """A registry and the plane's credentials for it do not go together."""
    return Refused(
        Code.REGISTRY_UNREACHABLE,
        f"The registry of this plane's images refuses access ({doing}).",
        "Whoever keeps the plane has to check the registry's username and password, and what they may do there.",
    )


def of_step(lines: Sequence[str]) -> Refused:
    """Why a step of the Dockerfile failed, from all that was said."""
    begins = [index for index, line in enumerate(lines) if STEP.match(line)]
    at = begins[-1] if begins else 0
    match = STEP.match(lines[at]) if lines else None
    step = match["what"] if match else ""
    said = [line for line in lines[at + 1 :] if not OWN.match(line)] if begins else list(lines)
    whole = "\n".join(said)
    if "pip install" in step:
        resolving = any(mark in whole for mark in RESOLVING)
        return failures.of_resolving(said) if resolving else failures.of_installing(said)
    if any(mark in "\n".join(lines[at:]) for mark in failures.FULL):
        return failures.disk_full()
    spoken = next((line.strip() for line in reversed(said) if line.strip()), "")
    if not spoken:
        spoken = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    return Refused(
        Code.BUILD_COMMAND_FAILED,
        f"A step of the build failed: {step[:200] or 'before the first one'}: {spoken[:400]}".rstrip(".")
        + ".",
        "The build log has the whole output.",
    )


def _state(pod: Manifest | None, step: str) -> Mapping[str, Any]:
    status = (pod or {}).get("status") or {}
    for one in [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]:
        if one["name"] == step:
            state: Mapping[str, Any] = one.get("state") or {}
            return state
    return {}


def _condition(found: Manifest, name: str) -> Mapping[str, Any]:
    conditions = (found.get("status") or {}).get("conditions") or ()
    return next((one for one in conditions if one["type"] == name and one["status"] == "True"), {})
