"""Why a pod that keeps data is not there yet: pure, from the pod and what was said of it or of those who should make
it. What it needs is ours or the plane's to make, and may come while one waits."""

from collections.abc import Iterable
from dataclasses import replace

from dataplane.kubernetes import obstacles as read
from dataplane.kubernetes import processes
from dataplane.kubernetes.kinds import Manifest, ending
from dataplane.kubernetes.obstacles import Finding, Obstacle, What
from workflows.causes import Code

CHANCES = 2
"""So often a container may end before it counts as one that never comes up."""


def obstacle(pod: Manifest | None, events: Iterable[Manifest] = ()) -> Obstacle | None:
    """The first thing that keeps it from running, or None if nothing is known to."""
    if pod is None:
        return _unmade(events)
    found = read.first(pod, events)
    return _told(found) if found else None


def ready(pod: Manifest) -> bool:
    """Whether its containers say that they are."""
    found = processes.condition(pod, "Ready")
    return found is not None and found["status"] == "True"


def begun(pod: Manifest) -> bool:
    """Whether any of its containers ever ran, as far as its node told."""
    statuses = (pod.get("status") or {}).get("containerStatuses", ())
    return any(
        one.get("restartCount") or one.get("lastState") or "waiting" not in one["state"] for one in statuses
    )


def summary(pod: Manifest | None) -> str:
    """A text that changes whenever the pod gets on."""
    if pod is None:
        return ""
    status = pod.get("status") or {}
    containers = [
        (one.get("restartCount"), sorted(one.get("state") or {}), one.get("ready"))
        for one in status.get("containerStatuses", ())
    ]
    conditions = sorted((one["type"], one["status"]) for one in status.get("conditions", ()))
    return repr((pod["metadata"]["uid"], ending(pod), status.get("phase"), conditions, containers))


def _unmade(events: Iterable[Manifest]) -> Obstacle | None:
    for event in read.newest(events):
        if event.get("reason") == "FailedCreate":
            # It was so then; whoever refused may have been told otherwise since.
            return replace(_told(read.unmade(str(event.get("message", "")))), hopeless=False)
    return None


def _told(found: Finding) -> Obstacle:
    said, pod, name = found.said, found.pod, found.container
    spent = found.restarts >= CHANCES
    match found.what:
        case What.OVER_QUOTA:
            return found.told(f"Its pod may not be made: {said}.", "Ask for less, or have the quota raised.")
        case What.NOT_ADMITTED:
            return found.told(f"Its pod may not be made: {said}.", "Ask whoever keeps the cluster.")
        case What.UNPLACED:
            return found.told(
                f"No node takes {pod}: {said}.", "Ask for less, or give the cluster more nodes."
            )
        case What.UNBOUND:
            return found.told(
                f"The volume of {pod} is not to be had: {said}.",
                "Have a storage class that makes it (the plane's storage_class), or ask for a smaller one.",
            )
        case What.UNPULLED:
            return found.told(
                f"The image {found.image} cannot be pulled: {said}.",
                "Push it, correct the plane's setting, or give the nodes the right to pull it.",
                hopeless=found.final,
            )
        case What.UNCONFIGURED:
            return found.told(
                f"{name} of {pod} cannot be made: {said}.",
                "What it names is the plane's to make: look into its worker's log.",
            )
        case What.UNSTARTED:
            return found.told(
                f"{name} of {pod} cannot be started: {said}.",
                "Look at the message: the image of the plane's setting may not be made for this.",
            )
        case What.STARVED:
            return found.told(
                f"{name} of {pod} ran out of memory.",
                "Give it more (redis_memory_limit_mb, db_memory_limit_mb).",
                hopeless=spent,
            )
        case What.ENDED:
            return found.told(
                f"{name} of {pod} ended with {found.how}.",
                "Look into its log.",
                hopeless=spent and found.looping,
                code=Code.DATABASE_FAILED,
            )
        case What.UNMOUNTED:
            return found.told(
                f"A volume of {pod} cannot be mounted: {said}.",
                "Look at the message: another node may still hold it, or what it is made from is missing.",
            )
        case What.SILENT:
            return found.told(
                f"{name} of {pod} runs and does not answer its probe: {said}.", "Look into its log."
            )
