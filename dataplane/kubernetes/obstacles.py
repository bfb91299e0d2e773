"""What keeps a pod from serving, read of every pod in the same way: pure. Whose pod it is decides how that is told,
and whether waiting may still help.

A cluster tells the same trouble in several places; here each is read where it is said first: where there is no room
on the pod, what cannot be pulled or started on the container, and what nobody else says in the events.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dataplane.kubernetes import processes
from dataplane.kubernetes.kinds import Manifest
from workflows.causes import Cause, Code

VOLUME = (
    "persistentvolume", "storageclass", "volume node affinity", "volume binding", "volumebinding", "binding volumes"
)  # fmt: skip
"""Words by which a volume that is not to be had is told from a node that is not."""
UNMADE = frozenset({*processes.CONFIGURES, "CreateContainerError", "RunContainerError"})
MOST = 400
"""Characters of what a cluster says that are worth passing on."""


class What(StrEnum):
    """The trouble itself, wherever it was read."""

    OVER_QUOTA = "over quota"
    NOT_ADMITTED = "not admitted"
    UNPLACED = "without a node"
    UNBOUND = "without a volume"
    UNPULLED = "without its image"
    UNCONFIGURED = "without its Secret"
    UNSTARTED = "not to be started"
    STARVED = "out of memory"
    ENDED = "ended"
    UNMOUNTED = "without a mount"
    SILENT = "not answering"


@dataclass(frozen=True)
class Obstacle:
    """What keeps a pod from serving, as a person is told."""

    cause: Cause
    hopeless: bool = False
    """Whether waiting cannot help."""
    pod: str = ""
    container: str = ""
    """Where last words may be had that say more."""
    previous: bool = False
    """Whether they are those of the container before the present one."""
    death: str = ""
    """Of a container that ended: which end it was, so that each is counted once."""


@dataclass(frozen=True)
class Finding:
    """A trouble, and what is known of it."""

    what: What
    code: Code
    said: str = ""
    """By the cluster."""
    final: bool = False
    """Whether that sounds as if it would be said for ever."""
    pod: str = ""
    container: str = ""
    image: str = ""
    ran: bool = False
    """Whether the container did run, and so may have left last words."""
    previous: bool = False
    death: str = ""
    how: str = ""
    """In which way it ended."""
    restarts: int = 0
    looping: bool = False
    """Whether the next start waits because of how many there were."""

    def told(
        self, message: str, fix: str = "", *, hopeless: bool = False, code: Code | None = None
    ) -> Obstacle:
        """As a person is told."""
        cause = Cause(code=code or self.code, message=message, fix=fix)
        if not self.ran:
            return Obstacle(cause, hopeless)
        return Obstacle(cause, hopeless, self.pod, self.container, self.previous, self.death)


def unmade(said: str) -> Finding:
    """Of a pod that the cluster refuses to make."""
    if "exceeded quota" in said:
        return Finding(What.OVER_QUOTA, Code.QUOTA_EXCEEDED, _clipped(said))
    final = "forbidden" in said or "denied" in said
    return Finding(What.NOT_ADMITTED, Code.ADMISSION_DENIED, _clipped(said), final)


def first(pod: Manifest, events: Iterable[Manifest] = ()) -> Finding | None:
    """The first trouble of a pod; of the events, those that are about it."""
    found = _unplaced(pod) or _containers(pod)
    return found if found or processes.ready(pod) else _told(pod, newest(events))


def newest(events: Iterable[Manifest]) -> list[Manifest]:
    """The last one first."""
    return sorted(events, key=lambda one: str(one.get("lastTimestamp")), reverse=True)


def _unplaced(pod: Manifest) -> Finding | None:
    condition = processes.condition(pod, "PodScheduled")
    if condition is None or condition["status"] != "False":
        return None
    name, said = pod["metadata"]["name"], _clipped(condition.get("message"))
    if any(word in said.lower() for word in VOLUME):
        return Finding(What.UNBOUND, Code.VOLUME_UNBOUND, said, "not found" in said, name)
    return Finding(What.UNPLACED, Code.UNSCHEDULABLE, said, pod=name)


def _containers(pod: Manifest) -> Finding | None:
    status, name = pod.get("status") or {}, pod["metadata"]["name"]
    for one in [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]:
        if found := _unbegun(name, one) or _ended(name, one):
            return found
    return None


def _unbegun(pod: str, one: Mapping[str, Any]) -> Finding | None:
    waits = (one.get("state") or {}).get("waiting") or {}
    reason, whole = str(waits.get("reason", "")), str(waits.get("message", ""))
    name, said = str(one.get("name", "")), _clipped(whole)
    if reason in processes.PULLS:
        final, image = processes.unpullable(reason, whole), str(one.get("image", ""))
        return Finding(What.UNPULLED, Code.IMAGE_REFUSED, said or reason, final, pod, name, image)
    if reason in processes.CONFIGURES:
        final = "not found" in whole
        return Finding(What.UNCONFIGURED, Code.SECRET_MISSING, said or reason, final, pod, name)
    if reason in UNMADE:
        return Finding(What.UNSTARTED, Code.CRASH_LOOP, said or reason, pod=pod, container=name)
    return None


def _ended(pod: str, one: Mapping[str, Any]) -> Finding | None:
    """A container that died. One of those that only prepare may end well."""
    state, last = one.get("state") or {}, (one.get("lastState") or {}).get("terminated") or {}
    now = state.get("terminated") or {}
    ended = now or last
    if not ended or one.get("ready") or (now and ended.get("exitCode") == 0 and not last):
        return None
    starved = ended.get("reason") == "OOMKilled"
    return Finding(
        What.STARVED if starved else What.ENDED,
        Code.OUT_OF_MEMORY if starved else Code.CRASH_LOOP,
        pod=pod,
        container=str(one.get("name", "")),
        ran=True,
        previous="running" in state,
        death=str(ended.get("containerID") or ended.get("finishedAt") or one.get("restartCount")),
        how=processes.word(int(ended.get("exitCode", 0))),
        restarts=int(one.get("restartCount", 0)),
        looping=(state.get("waiting") or {}).get("reason") == processes.BACK_OFF,
    )


def _told(pod: Manifest, events: Iterable[Manifest]) -> Finding | None:
    """What only events say: of volumes that are not mounted, and of probes that fail."""
    name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
    for event in events:
        if (event.get("involvedObject") or {}).get("uid") != uid:
            continue
        said = _clipped(event.get("message"))
        match event.get("reason"):
            case "FailedMount" | "FailedAttachVolume":
                secret = "secret " in said or "configmap " in said
                code = Code.SECRET_MISSING if secret else Code.VOLUME_UNBOUND
                return Finding(What.UNMOUNTED, code, said, pod=name)
            case "Unhealthy":
                asked = _asked(event)
                return Finding(What.SILENT, Code.PROBE_FAILING, said, pod=name, container=asked, ran=True)
            case _:
                continue
    return None


def _asked(event: Manifest) -> str:
    """Which container did not answer its probe."""
    place = str(event["involvedObject"].get("fieldPath", ""))
    return place.partition("{")[2].rstrip("}") or processes.CONTAINER


def _clipped(said: object) -> str:
    """As much as is worth passing on, without a full stop: ours follows."""
    return str(said or "")[:MOST].rstrip(". ")
