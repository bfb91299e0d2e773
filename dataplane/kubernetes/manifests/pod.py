"""One server as a pod: its container, what stands beside it, where it may be placed, and how it ends."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from dataplane.kubernetes import names
from dataplane.kubernetes.kinds import Manifest, Served
from dataplane.kubernetes.manifests import clashes, meta, security
from dataplane.kubernetes.manifests.probes import probes
from dataplane.kubernetes.manifests.quantities import quantities, written
from dataplane.kubernetes.manifests.releases import since
from dataplane.kubernetes.processes import CONTAINER
from dataplane.kubernetes.site import Site
from workflows.shapes import Wish

TEMPORARY, TEMPORARY_PLACE = f"{clashes.PREFIX}tmp", "/tmp"  # noqa: S108 - a volume of the pod's own
LEAVE_SECONDS = 5
"""For how long one that is told to end still answers: doors follow a change within two seconds."""
HANDOVER_SECONDS = 15
"""After the drain, until the server has put its runs back and closed its pools; see the entry program."""
SLEEPS_ITSELF = (1, 33)
"""From this release on no kubelet is so old that it cannot wait by itself."""
PLACES = ("kubernetes.io/hostname", "topology.kubernetes.io/zone")


def template(site: Site, wish: Wish, image: str, variables: str, served: Served) -> Manifest:
    """What a Deployment makes its pods from. `variables` is the Secret's name."""
    clashes.check(wish)
    asked = wish.resources
    mounts, volumes = _mounts(wish)
    server: dict[str, Any] = {
        "name": CONTAINER,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "ports": [{"name": "http", "containerPort": names.PORT, "protocol": "TCP"}],
        "envFrom": [{"secretRef": {"name": variables}}],
        "resources": quantities(wish),
        "volumeMounts": mounts,
        "lifecycle": {"preStop": _leave(wish, served)},
        "securityContext": security.of_server(wish),
        **probes(site),
    }
    if references := list(_references(wish)):
        server["env"] = references
    labels = meta.selected(site, wish)
    spec: dict[str, Any] = {
        "serviceAccountName": asked.service_account_name or names.agent(wish),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": grace(site),
        "securityContext": security.of_pod(wish),
        "containers": [server, *(_other(wish, one) for one in asked.sidecars)],
        "volumes": volumes,
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": place,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": labels},
            }
            for place in PLACES
        ],
    }
    if asked.init_containers:
        spec["initContainers"] = [_other(wish, one) for one in asked.init_containers]
    if secrets := _pull_secrets(site, wish):
        spec["imagePullSecrets"] = secrets
    metadata = {
        "labels": {**meta.labels(wish), **labels},
        "annotations": {**meta.annotations(wish), names.ID: str(wish.deployment_id)},
    }
    return {"metadata": metadata, "spec": spec}


def grace(site: Site) -> int:
    """Seconds between being told to end and being killed."""
    return LEAVE_SECONDS + math.ceil(site.drain_seconds) + HANDOVER_SECONDS


def _leave(wish: Wish, served: Served) -> dict[str, Any]:
    """Our images have a `sleep`, others perhaps none. For ours it stays the same whatever the release, or every
    server would be made anew once a cluster is upgraded."""
    if not security.ours(wish) and since(served, *SLEEPS_ITSELF):
        return {"sleep": {"seconds": LEAVE_SECONDS}}
    return {"exec": {"command": ["sleep", str(LEAVE_SECONDS)]}}


def _mounts(wish: Wish) -> tuple[list[Any], list[Any]]:
    """The user's and ours; who mounts something at /tmp has it so."""
    mounts = [dict(one) for one in wish.resources.volume_mounts]
    volumes = [dict(one) for one in wish.resources.volumes]
    taken = {str(one.get("mountPath", "")).rstrip("/") for one in mounts}
    if security.ours(wish) and TEMPORARY_PLACE not in taken:
        mounts.append({"name": TEMPORARY, "mountPath": TEMPORARY_PLACE})
        volumes.append({"name": TEMPORARY, "emptyDir": {}})
    return mounts, volumes


def _references(wish: Wish) -> Iterator[dict[str, Any]]:
    for one in wish.secret_references:
        named = {"name": one.secret_name, "key": one.secret_key}
        yield {"name": one.name, "valueFrom": {"secretKeyRef": named}}


def _other(wish: Wish, asked: Mapping[str, Any]) -> dict[str, Any]:
    """A container of the user's, which runs as confined as the server."""
    container = {**asked, "securityContext": security.of_other(wish, asked.get("securityContext"))}
    if asked.get("ports"):
        # Without its protocol an older API server takes a port for another one at the next apply.
        container["ports"] = [{"protocol": "TCP", **port} for port in asked["ports"]]
    if isinstance(asked.get("resources"), Mapping):
        container["resources"] = written(asked["resources"])
    return container


def _pull_secrets(site: Site, wish: Wish) -> list[dict[str, str]]:
    named = [str(one["name"]) for one in wish.resources.image_pull_secrets if one.get("name")]
    own = [site.registry.pull_secret] if site.registry.pull_secret else []
    return [{"name": name} for name in dict.fromkeys([*named, *own])]
