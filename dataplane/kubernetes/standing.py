"""Which replicas a deployment has on a cluster, and which revision its door leads to: pure, from its objects."""

from collections.abc import Iterator

from dataplane.kubernetes import names as labels
from dataplane.kubernetes import processes
from dataplane.kubernetes.belongings import Belongings
from dataplane.kubernetes.doors import leads
from dataplane.kubernetes.kinds import DEPLOYMENT, HTTP_ROUTE, INGRESS, POD, SERVICE, Manifest
from workflows import names
from workflows.drift import RUNNING, STARTING, STOPPING
from workflows.shapes import Replica, Wish

STATES = {RUNNING: "running", STARTING: "starting", STOPPING: "stopping", processes.LOOPING: "backoff"}


def replicas(wish: Wish, found: Belongings) -> Iterator[Replica]:
    """Every pod of a server, by the slot that it fills; those that end come after."""
    for which in sorted({revision_of(pod) for pod in found.of(POD, role="server")}):
        pods = list(found.of(POD, revision=which, role="server"))
        alive = processes.living(pods)
        ending = [pod for pod in pods if pod not in alive]
        for index, pod in enumerate([*alive, *ending]):
            seen = processes.state(pod).seen
            yield Replica(
                name=names.server(wish.deployment_id, which, index),
                revision=which,
                index=index,
                state=STATES.get(seen, "dead"),
                healthy=processes.ready(pod),
            )


def numbers(found: Belongings) -> set[int]:
    """Every revision of which there is a Deployment or a pod."""
    return {
        revision_of(one)
        for kind in (DEPLOYMENT, POD)
        for one in found.of(kind, role="server")
        if revision_of(one)
    }


def revision_of(found: Manifest) -> int:
    """The number on an object; 0 for one that has none."""
    said = str((found["metadata"].get("labels") or {}).get(labels.REVISION, ""))
    return int(said) if said.isdecimal() else 0


def led(wish: Wish, found: Belongings) -> int | None:
    """The revision that callers are led to, if there is a door at all."""
    if not any(one for kind in (INGRESS, HTTP_ROUTE) for one in found.of(kind)):
        return None
    return led_to(wish, found)


def led_to(wish: Wish, found: Belongings) -> int | None:
    """The revision that the Service leads to, door or none."""
    slug, short = names.slug(wish.name, wish.deployment_id), names.short(wish.deployment_id)
    for service in found.of(SERVICE):
        if service["metadata"]["name"] == slug:
            return number(leads(service, short))
    return None


def number(said: str) -> int | None:
    """The number in `revision 3`."""
    word, _, digits = said.partition(" ")
    return int(digits) if word == "revision" and digits.isdecimal() else None
