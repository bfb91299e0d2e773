"""What a server's pods are, in the words of drift: pure.

Pods have random names and come and go; a replica of a revision is a slot. Living pods fill the slots in the order
in which they were made, so a pod that is replaced leaves its slot to the next.
"""

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from dataplane.kubernetes.kinds import Manifest, ending
from workflows.causes import Code
from workflows.drift import MISSING, RUNNING, STARTING, STOPPING

CONTAINER = "server"
LOOPING, DEAD = "looping", "dead"
MOST_DEATHS = 3
OUT_OF_MEMORY = "out of memory"
UNPLACED, NODE_AWAY = "without a node", "on a node that is not ready"
UNPULLED, UNCONFIGURED = "without its image", "without its Secret"
BACK_OFF = "CrashLoopBackOff"
PULLS = frozenset(
    {
        "ImagePullBackOff",
        "ErrImagePull",
        "InvalidImageName",
        "ErrImageNeverPull",
        "RegistryUnavailable",
        "ImageInspectError",
    }
)
NEVER_PULLED = frozenset({"InvalidImageName", "ErrImageNeverPull"})
NEVER = (
    "not found", "notfound", "denied", "unauthorized", "forbidden", "invalid", "manifest unknown", "does not exist"
)  # fmt: skip
"""Words by which a refusal to pull is told from a registry that is away."""
CONFIGURES = frozenset({"CreateContainerConfigError"})


@dataclass(frozen=True)
class End:
    """How a server ended that nobody asked to."""

    pod: str
    at: datetime
    how: str
    code: Code | None = None
    said: str = ""
    """What the cluster itself says of it."""
    previous: bool = True
    """Whether its last lines are those of the container before the present one."""
    legible: bool = True


@dataclass(frozen=True)
class State:
    """What a pod's server is now."""

    seen: str
    since: datetime | None = None
    code: Code | None = None
    said: str = ""


def living(pods: Sequence[Manifest]) -> list[Manifest]:
    """Those that fill slots, in order: not ending, not over."""
    alive = [pod for pod in pods if not ending(pod) and _phase(pod) not in ("Failed", "Succeeded")]
    return sorted(alive, key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]))


def state(pod: Manifest) -> State:
    """How a pod's server is."""
    if ending(pod):
        return State(STOPPING)
    if (away := condition(pod, "PodScheduled")) and away["status"] == "False":
        return State(
            UNPLACED, _moment(away.get("lastTransitionTime")), Code.UNSCHEDULABLE, away.get("message", "")
        )
    server = _server(pod)
    now = server.get("state") or {}
    if "running" in now:
        if _node_away(pod):
            return State(NODE_AWAY)
        # Where there is no startup probe, `started` says no more than that it runs.
        return State(RUNNING if server.get("started", True) else STARTING)
    if ended := now.get("terminated"):
        end = _end(pod["metadata"]["name"], ended, previous=False)
        return State(STARTING if _restarts(pod) else DEAD, end.at, end.code)
    reason, message = (
        (now.get("waiting") or {}).get("reason", ""),
        (now.get("waiting") or {}).get("message", ""),
    )
    if reason == BACK_OFF:
        looping = int(server.get("restartCount", 0)) >= MOST_DEATHS
        last = next(ends([pod]), None)
        since, code = (last.at, last.code) if last else (None, None)
        return State(LOOPING if looping else STARTING, since, code or (Code.CRASH_LOOP if looping else None))
    if reason in PULLS:
        return State(UNPULLED, code=Code.IMAGE_REFUSED, said=message)
    if reason in CONFIGURES:
        return State(UNCONFIGURED, code=Code.SECRET_MISSING, said=message)
    return State(STARTING)


def ends(pods: Sequence[Manifest], since: datetime | None = None) -> Iterator[End]:
    """How servers of these pods ended unasked, as far as pods remember: the last end of each."""
    for pod in sorted(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"])):
        name, status = pod["metadata"]["name"], pod.get("status") or {}
        if ending(pod):
            continue
        found = None
        if _phase(pod) == "Failed" and status.get("reason"):
            at = _over(pod)
            said = str(status.get("message", ""))
            found = End(name, at, str(status["reason"]).lower(), said=said, previous=False, legible=False)
        else:
            server = _server(pod)
            if ended := (server.get("state") or {}).get("terminated"):
                found = _end(name, ended, previous=False)
            elif ended := (server.get("lastState") or {}).get("terminated"):
                found = _end(name, ended, previous="running" in (server.get("state") or {}))
        if found is not None and (since is None or found.at > since):
            yield found


def unpullable(reason: str, said: str) -> bool:
    """Whether an image will not come however long one waits: of the whole message, whose end says why. The pause
    between two tries says nothing of itself: a registry that restarts is back before the next one."""
    return reason in NEVER_PULLED or any(word in said.lower() for word in NEVER)


def image(pod_spec: Any) -> str:
    """What the server is made from: a digest, or the whole name where it has none."""
    for container in (pod_spec or {}).get("containers") or ():
        if container.get("name") == CONTAINER:
            name = str(container.get("image", ""))
            return name.partition("@")[2] or name
    return MISSING


def address(pod: Manifest) -> str | None:
    """The pod's own IP."""
    found = (pod.get("status") or {}).get("podIP")
    return str(found) if found else None


def ready(pod: Manifest) -> bool:
    """Whether it takes requests."""
    found = condition(pod, "Ready")
    return found is not None and found["status"] == "True" and not ending(pod)


def condition(pod: Manifest, name: str) -> dict[str, Any] | None:
    """One of those that a pod's state is told in, if it is told."""
    for one in (pod.get("status") or {}).get("conditions") or ():
        if one.get("type") == name:
            return dict(one)
    return None


def begun(pod: Manifest) -> datetime:
    """When its server was started last."""
    running = (_server(pod).get("state") or {}).get("running") or {}
    return _moment(running.get("startedAt")) or made(pod)


def made(found: Manifest) -> datetime:
    """When an object was made."""
    return _moment(found["metadata"]["creationTimestamp"]) or datetime.now(UTC)


def word(code: int) -> str:
    """`SIGKILL`, or `exit status 3`: shells and runtimes tell a signal as 128 and its number."""
    if 128 < code < 128 + signal.NSIG:
        try:
            return signal.Signals(code - 128).name
        except ValueError:
            pass
    return f"exit status {code}"


def _end(pod: str, ended: dict[str, Any], *, previous: bool) -> End:
    memory = ended.get("reason") == "OOMKilled"
    at = _moment(ended.get("finishedAt")) or datetime.now(UTC)
    how = OUT_OF_MEMORY if memory else word(int(ended.get("exitCode", 0)))
    return End(pod, at, how, Code.OUT_OF_MEMORY if memory else None, previous=previous)


def _server(pod: Manifest) -> dict[str, Any]:
    for one in (pod.get("status") or {}).get("containerStatuses") or ():
        if one.get("name") == CONTAINER:
            return dict(one)
    return {}


def _restarts(pod: Manifest) -> bool:
    return bool((pod.get("spec") or {}).get("restartPolicy", "Always") == "Always")


def _phase(pod: Manifest) -> str:
    return str((pod.get("status") or {}).get("phase", ""))


def _node_away(pod: Manifest) -> bool:
    """The kubelet says both or neither; whoever notices that a kubelet is away takes back only the first."""
    ready, containers = condition(pod, "Ready"), condition(pod, "ContainersReady")
    gates = (pod.get("spec") or {}).get("readinessGates")
    return bool(
        ready and containers and not gates and ready["status"] != "True" and containers["status"] == "True"
    )


def _over(pod: Manifest) -> datetime:
    """About when a pod failed as a whole."""
    moments = [
        _moment(((one.get("state") or {}).get("terminated") or {}).get("finishedAt"))
        for one in (pod.get("status") or {}).get("containerStatuses") or ()
    ]
    return max((one for one in moments if one), default=made(pod) + timedelta(seconds=1))


def _moment(value: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(str(value).replace("Z", "+00:00")).astimezone(UTC) if value else None
    except ValueError:
        return None
