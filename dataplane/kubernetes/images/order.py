"""The Job that builds one image, and the Secret with its order: pure.

buildah, and not BuildKit: it needs no daemon, Debian has it, and it is the one that proved itself here. It runs as
root of a container that is not privileged and has only the capabilities that installing packages takes, and makes a
user namespace of its own. The seccomp profile must let it: `RuntimeDefault` does not (tried). As another user it was
tried, too: with one id in its namespace no step may change owners or groups, so `apt-get` fails ("error setting
supplemental groups list"), and more ids take a setuid program, which is privilege escalation.

Three containers, one after the other, share a disk: `fetch` has the source's address and may pull, `bake` runs what
the project says and has nothing of ours, `push` has the credentials again.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dataplane.kubernetes import names
from dataplane.kubernetes.images.dockerfile import Recipe, told
from dataplane.kubernetes.kinds import Manifest
from dataplane.kubernetes.site import Site
from workflows.shapes import Wish

ROLE = "build"
KEY = "graphyard.dev/build-key"
"""Annotation: what is built. A Job of the same name with another one builds something that nobody wants any more."""
FETCH, BAKE, PUSH = "fetch", "bake", "push"
STEPS = (FETCH, BAKE, PUSH)
PROGRAMS = "/usr/local/libexec/graphyard"
CAPABILITIES = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETFCAP",
    "SETGID",
    "SETUID",
    "SYS_CHROOT",
]
KEPT_SECONDS = 600
"""A Job that ended and that nobody took away goes by itself."""
GRACE = 5
USUAL = {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"memory": "4Gi"}}


@dataclass(frozen=True)
class Order:
    """What to build, by what name."""

    key: str
    base: str
    """With its digest."""
    builder: str
    """With its digest, too: nodes keep what they once pulled by a tag."""
    image: str
    """Where it is pushed until it has its final name."""
    sha256: str
    """Of the archive."""
    recipe: Recipe
    written: Mapping[str, str] = field(default_factory=dict, repr=False)
    left: tuple[str, ...] = ()
    cache: str = ""


def labels(site: Site, wish: Wish) -> dict[str, str]:
    """By which the Job and its pod are found."""
    return {**names.of_revision(site.plane, wish), names.ROLE: ROLE}


def cacheable(site: Site, recipe: Recipe) -> bool:
    """Whether layers are kept: only where something precedes the source, as every layer is copied whole on its way;
    only where pushing takes no credentials, for steps would have them; and never what a project's own registry was
    opened for, for another project that asks in the same words would find it without being let in."""
    return site.build_cache and recipe.layered and not recipe.secrets and not site.registry.username


def job(site: Site, wish: Wish, order: Order) -> Manifest:
    """The build, as one Job that is tried once: whether to try again is the step's to decide."""
    name = names.build(wish)
    resources = dict(site.build_resources) or USUAL
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE,
        "hostNetwork": site.host_network_builds,
        # The node's own resolver knows no Service, and the API may be one.
        "dnsPolicy": "ClusterFirstWithHostNet" if site.host_network_builds else "ClusterFirst",
        "securityContext": {"runAsUser": 0, "runAsGroup": 0, "seccompProfile": {"type": "Unconfined"}},
        "initContainers": [_container(order.builder, step, resources) for step in (FETCH, BAKE)],
        "containers": [_container(order.builder, PUSH, resources)],
        "volumes": [
            {"name": "work", "emptyDir": {}},
            {"name": "store", "emptyDir": {}},
            *(_volume(name, step, keys) for step, keys in _keys(site, order.recipe).items()),
        ],
    }
    if site.registry.pull_secret and site.build_namespace == site.namespace:
        pod["imagePullSecrets"] = [{"name": site.registry.pull_secret}]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": site.build_namespace,
            "labels": labels(site, wish),
            "annotations": {names.ID: str(wish.deployment_id), KEY: order.key},
        },
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": max(1, round(site.build_seconds)),
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": {"metadata": {"labels": labels(site, wish)}, "spec": pod},
        },
    }


def secret(site: Site, wish: Wish, order: Order, url: str, owner: Manifest) -> Manifest:
    """The order itself. It goes with its Job."""
    texts = {
        "url": url,
        "recipe.json": told(
            order.recipe,
            image=order.image,
            base=order.base,
            sha256=order.sha256,
            written=dict(order.written),
            left=list(order.left),
            cache=order.cache,
            insecure=site.registry.insecure,
        ),
        "Dockerfile": order.recipe.dockerfile,
        **order.recipe.secrets,
    }
    if site.registry.username:
        texts["auth.json"] = authority(site)
    if site.builders_trust:
        texts["ca.pem"] = site.builders_trust
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": names.build(wish),
            "namespace": site.build_namespace,
            "labels": labels(site, wish),
            "annotations": {names.ID: str(wish.deployment_id)},
            "ownerReferences": [
                {
                    "apiVersion": "batch/v1",
                    "kind": "Job",
                    "name": owner["metadata"]["name"],
                    "uid": owner["metadata"]["uid"],
                }
            ],
        },
        "data": {name: base64.b64encode(text.encode()).decode() for name, text in texts.items()},
    }


def authority(site: Site) -> str:
    """The plane's credentials as buildah reads them."""
    login = base64.b64encode(f"{site.registry.username}:{site.registry.password}".encode()).decode()
    return json.dumps({"auths": {site.registry.address.partition("/")[0]: {"auth": login}}})


def _keys(site: Site, recipe: Recipe) -> dict[str, list[str]]:
    """Which parts of the order each step sees."""
    ours = ["auth.json"] if site.registry.username else []
    trusted = ["ca.pem"] if site.builders_trust else []
    return {
        FETCH: ["url", "recipe.json", *trusted, *ours],
        BAKE: ["recipe.json", "Dockerfile", *sorted(recipe.secrets)],
        PUSH: ["recipe.json", *ours],
    }


def _volume(name: str, step: str, keys: list[str]) -> Manifest:
    items = [{"key": key, "path": key} for key in keys]
    return {"name": f"order-{step}", "secret": {"secretName": name, "defaultMode": 0o400, "items": items}}


def _container(image: str, step: str, resources: Mapping[str, object]) -> Manifest:
    return {
        "name": step,
        "image": image,
        "command": [f"{PROGRAMS}/{step}"],
        "resources": resources,
        "terminationMessagePolicy": "File",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "capabilities": {"drop": ["ALL"], "add": CAPABILITIES},
        },
        "volumeMounts": [
            {"name": "work", "mountPath": "/work"},
            {"name": "store", "mountPath": "/var/lib/containers"},
            {"name": f"order-{step}", "mountPath": "/order", "readOnly": True},
        ],
    }
