"""What a `resource_spec` may say of its pods in Kubernetes' own words: shapes that a cluster can take, and nothing
that leads out of the pod, to what other deployments own, or to labels and names of ours.

Refused at the door, with the field's path, so nobody waits for a rollout to hear it. The cluster has the last word:
its own admission may refuse more.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
KEY = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
OURS = re.compile(r".*(^|-)(server|redis|postgres|build)-[0-9a-f]{8}(-.*)?")
"""Names of what deployments own: their variables, their passwords, their volumes."""
RESERVED = re.compile(r"graphyard\.dev/.*|app\.kubernetes\.io/managed-by|pod-template-hash")
LOOSENING = re.compile(r"(container\.)?(apparmor|seccomp)\.security\.[a-z]+\.kubernetes\.io/.*")
"""Annotations by which older releases take a container's confinement away."""
SERVER = "server"
PREFIX = "graphyard"
PORT = 8000
VOLUMES = frozenset(
    {
        "configMap",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
)
MOST = 20

Spec = Mapping[str, Any]
Refuse = Callable[[str, str], NoReturn]
"""Raises the refusal of a field of a `resource_spec`, by its path and what is wrong with it."""


def check(spec: Spec, refuse: Refuse, *, privileged: bool) -> None:
    """Refuse what a plane could not or would not make of this. `privileged` lets through what leads out of the pod,
    for installations that trust whoever deploys."""
    for field in ("labels", "annotations"):
        _check_keys(spec.get(field) or {}, field, refuse, privileged)
    account = spec.get("service_account_name")
    if account is not None and not (_is_subdomain(account)):
        refuse("service_account_name", "must be a Kubernetes name")
    volumes = spec.get("volumes") or []
    _check_volumes(volumes, refuse, privileged)
    mine = {volume["name"] for volume in volumes}
    _check_mounts(spec.get("volume_mounts") or [], "volume_mounts", mine, refuse)
    names: set[str] = set()
    for field in ("init_containers", "sidecars"):
        for path, container in _each(spec.get(field) or [], field, refuse):
            name = _name(container, path, refuse)
            if name in names or name == SERVER or name.startswith(PREFIX):
                refuse(f"{path}.name", f"'{name}' is taken: containers of a pod need names of their own")
            names.add(name)
            _check_container(container, path, mine, refuse, privileged)


def _check_keys(values: Spec, field: str, refuse: Refuse, privileged: bool) -> None:
    for key, value in values.items():
        if not KEY.fullmatch(key):
            refuse(field, f"has a key that Kubernetes does not take: '{key[:80]}'")
        if RESERVED.fullmatch(key) or (LOOSENING.fullmatch(key) and not privileged):
            refuse(field, f"must leave '{key}' to the platform")
        if field == "labels" and not VALUE.fullmatch(value):
            refuse(f"{field}.{key}", "must be at most 63 letters, digits, '-', '_' or '.'")


def _check_volumes(volumes: Sequence[Spec], refuse: Refuse, privileged: bool) -> None:
    names: set[str] = set()
    for path, volume in _each(volumes, "volumes", refuse):
        name = _name(volume, path, refuse)
        if name in names or name.startswith(PREFIX):
            refuse(f"{path}.name", f"'{name}' is taken: volumes of a pod need names of their own")
        names.add(name)
        kinds = [key for key, value in volume.items() if key != "name" and value is not None]
        if len(kinds) != 1:
            refuse(path, "must have exactly one kind of content, such as emptyDir: {}")
        if kinds[0] not in VOLUMES and not privileged:
            refuse(path, f"is of kind '{kinds[0]}', which leads out of the pod and is not allowed here")
        _check_foreign(volume, path, refuse)


def _check_mounts(mounts: Sequence[Spec], field: str, volumes: set[str], refuse: Refuse) -> None:
    for path, mount in _each(mounts, field, refuse):
        if mount.get("name") not in volumes:
            refuse(f"{path}.name", "must name one of resource_spec.volumes")
        place = mount.get("mountPath")
        if (
            not isinstance(place, str)
            or not place.startswith("/")
            or place == "/"
            or ".." in place.split("/")
        ):
            refuse(f"{path}.mountPath", "must be an absolute path below /")


def _check_container(container: Spec, path: str, volumes: set[str], refuse: Refuse, privileged: bool) -> None:
    if not isinstance(container.get("image"), str) or not container["image"].strip():
        refuse(f"{path}.image", "is required")
    if not isinstance(container.get("ports") or [], list):
        refuse(f"{path}.ports", "must be a list of objects")
    for at, port in _each(container.get("ports") or [], f"{path}.ports", refuse):
        if port.get("containerPort") == PORT:
            refuse(f"{at}.containerPort", f"{PORT} is the server's own")
        if port.get("hostPort") and not privileged:
            refuse(f"{at}.hostPort", "leads out of the pod and is not allowed here")
    mounts = container.get("volumeMounts") or []
    if not isinstance(mounts, list):
        refuse(f"{path}.volumeMounts", "must be a list of objects")
    _check_mounts(mounts, f"{path}.volumeMounts", volumes, refuse)
    if container.get("volumeDevices") and not privileged:
        refuse(f"{path}.volumeDevices", "leads out of the pod and is not allowed here")
    _check_foreign({key: container.get(key) for key in ("env", "envFrom")}, path, refuse)
    if not privileged:
        _check_security(container.get("securityContext") or {}, f"{path}.securityContext", refuse)


def _check_security(context: Any, path: str, refuse: Refuse) -> None:
    if not isinstance(context, Mapping):
        refuse(path, "must be an object")
    for field in ("privileged", "allowPrivilegeEscalation"):
        if context.get(field):
            refuse(f"{path}.{field}", "is not allowed here")
    capabilities = context.get("capabilities") or {}
    if not isinstance(capabilities, Mapping) or capabilities.get("add"):
        refuse(f"{path}.capabilities", "may only drop some")
    if context.get("runAsNonRoot") is False or context.get("runAsUser") == 0:
        refuse(path, "may not ask for root")
    for field in ("procMount", "seccompProfile", "appArmorProfile", "seLinuxOptions", "windowsOptions"):
        if context.get(field):
            refuse(f"{path}.{field}", "is the platform's to choose")


def _check_foreign(value: Any, path: str, refuse: Refuse) -> None:
    """Nowhere may anything be named that belongs to a deployment, be it this one."""
    for where, name in _references(value):
        if OURS.fullmatch(name):
            refuse(path, f"names '{name}' as its {where}, which belongs to the platform")


def _references(value: Any) -> Iterator[tuple[str, str]]:
    """Secrets, config maps and claims that something names, however deep."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key == "claimName" or key == "secretName":
                yield key, str(inner)
            elif key in (
                "secret",
                "secretRef",
                "secretKeyRef",
                "configMapRef",
                "configMapKeyRef",
                "configMap",
            ):
                if isinstance(inner, Mapping) and inner.get("name") is not None:
                    yield key, str(inner["name"])
                yield from _references(inner)
            else:
                yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _each(items: Sequence[Any], field: str, refuse: Refuse) -> Iterator[tuple[str, Spec]]:
    if len(items) > MOST:
        refuse(field, f"has {len(items)} entries; {MOST} is the most")
    for position, item in enumerate(items):
        path = f"{field}[{position}]"
        if not isinstance(item, Mapping):
            refuse(path, "must be an object")
        yield path, item


def _name(item: Spec, path: str, refuse: Refuse) -> str:
    name = item.get("name")
    if not isinstance(name, str) or not LABEL.fullmatch(name):
        refuse(f"{path}.name", "must be a Kubernetes name: a-z, 0-9 and -, at most 63 characters")
    return name


def _is_subdomain(name: str) -> bool:
    return len(name) <= 253 and all(LABEL.fullmatch(part) for part in name.split("."))
