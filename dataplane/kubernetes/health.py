"""Why servers do not come up, from their objects alone: pure. Each obstacle has a typed cause, and says whether
waiting may still help: what a wish names itself and is not there does not come by waiting.
"""

from collections.abc import Iterable, Iterator, Sequence

from dataplane.kubernetes import obstacles as read
from dataplane.kubernetes import processes
from dataplane.kubernetes.kinds import Manifest
from dataplane.kubernetes.obstacles import Finding, Obstacle, What


def unmade(deployment: Manifest | None) -> Obstacle | None:
    """Why the cluster makes no pods for a Deployment, if it says so."""
    for condition in ((deployment or {}).get("status") or {}).get("conditions") or ():
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            return _told(read.unmade(str(condition.get("message", ""))))
    return None


def obstacles(pods: Sequence[Manifest], events: Iterable[Manifest] = ()) -> Iterator[Obstacle]:
    """What stands in the way of these pods, each pod's first trouble."""
    said = list(events)
    for pod in processes.living(pods):
        if found := read.first(pod, said):
            yield _told(found)


def ready(pods: Sequence[Manifest], wanted: int, template: str = "") -> bool:
    """Whether as many pods as wanted take requests, all of the present template, and none is too many."""
    alive = processes.living(pods)
    current = [pod for pod in alive if not template or _template(pod) == template]
    return len(alive) == len(current) == wanted and all(processes.ready(pod) for pod in current)


def summary(deployment: Manifest | None, pods: Sequence[Manifest]) -> str:
    """A text that changes whenever something gets on."""
    status = (deployment or {}).get("status") or {}
    lines = [f"{status.get('updatedReplicas', 0)} made, {status.get('readyReplicas', 0)} ready"]
    for pod in sorted(pods, key=lambda one: str(one["metadata"]["name"])):
        state = (pod.get("status") or {}).get("containerStatuses") or ()
        counts = [
            (one.get("restartCount"), sorted(one.get("state") or {}), one.get("ready")) for one in state
        ]
        first = [
            (one.get("restartCount"), sorted(one.get("state") or {}))
            for one in (pod.get("status") or {}).get("initContainerStatuses") or ()
        ]
        lines.append(f"{pod['metadata']['name']} {processes.state(pod).seen} {counts} {first}")
    return "\n".join(lines)


def sentence(deployment: Manifest | None, pods: Sequence[Manifest]) -> str:
    """How far it is, for a person."""
    states = [processes.state(pod).seen for pod in processes.living(pods)]
    ready_ = sum(processes.ready(pod) for pod in processes.living(pods))
    return f"{ready_} of {len(states)} ready" + (f", {', '.join(sorted(set(states)))}" if states else "")


def _told(found: Finding) -> Obstacle:
    said, name = found.said, found.container
    match found.what:
        case What.OVER_QUOTA:
            return found.told(
                f"The namespace's quota allows no further pod: {said}.",
                "Ask for less (resource_spec), or have the quota raised.",
            )
        case What.NOT_ADMITTED:
            return found.told(
                f"The cluster refuses to make its pods: {said}.",
                "Change what the policy objects to, or ask whoever keeps the cluster for an exception.",
                hopeless=found.final,
            )
        case What.UNPLACED:
            return found.told(
                f"No node has room for the server: {said}.",
                "Give it less (cpu, memory_mb of the resource_spec), or the cluster more or larger nodes.",
            )
        case What.UNBOUND:
            return found.told(
                f"A volume of the server is not to be had: {said}.",
                "Make the claim that resource_spec.volumes names, or have a storage class that can.",
                hopeless=found.final,
            )
        case What.UNPULLED:
            return found.told(
                f"The image {found.image} of {name!r} cannot be pulled: {said}.",
                "Push it where the nodes look, or name the right pull secret (image_pull_secrets).",
                hopeless=found.final,
            )
        case What.UNCONFIGURED:
            return found.told(
                f"The container {name!r} cannot be made: {said}.",
                "Make the Secret that secret_references name, or correct the reference.",
                hopeless=found.final,
            )
        case What.UNSTARTED:
            return found.told(
                f"The container {name!r} cannot be made: {said}.",
                "Look at the message: its image may lack the command, or a mount hides it.",
            )
        case What.STARVED:
            return found.told(
                f"{name!r} used more memory than it may and was killed.",
                "Raise memory_limit_mb (or memory_mb) of the resource_spec, or load less at start.",
                hopeless=True,
            )
        case What.ENDED:
            return found.told(f"{name!r} ended with {found.how}.", "See its last lines.")
        case What.UNMOUNTED:
            return found.told(
                f"A volume of the server cannot be mounted: {said}.",
                "Make what resource_spec.volumes names in the servers' namespace.",
            )
        case What.SILENT:
            who = "The server" if name == processes.CONTAINER else repr(name)
            return found.told(
                f"{who} runs and does not answer its probe: {said}.",
                "Something at import or in its lifespan may wait for ever.",
            )


def _template(pod: Manifest) -> str:
    return str((pod["metadata"].get("labels") or {}).get("pod-template-hash", ""))
