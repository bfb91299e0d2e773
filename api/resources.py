"""`resource_spec`: its bounds, and what is made of it when fields are left open.

Callers read it back, change a field and write it again, so whatever we do not know is kept as it came.
"""

import re
from collections.abc import Mapping
from typing import Any, NoReturn

from api import pods
from api.problems import SourceConfiguration
from workflows.shapes import Flavour, PlaneKind, SourceKind

CPU = (0.1, 8.0)
CPU_LIMIT = (0.1, 16.0)
MEGABYTES = (1, 1 << 20)
SCALE = (0, 100)
BUILT_SCALE = {PlaneKind.LOCAL: (1, 4), PlaneKind.KUBERNETES: (1, 100)}
"""How many replicas of a built source run side by side: on one machine few."""

NUMBERS: dict[str, tuple[float, float]] = {
    **{f"{part}cpu": CPU for part in ("", "queue_", "redis_", "db_", "core_")},
    **{f"{part}cpu_limit": CPU_LIMIT for part in ("", "queue_", "redis_", "db_", "core_")},
}
WHOLE: dict[str, tuple[int, int]] = {
    **{f"{part}memory_mb": MEGABYTES for part in ("", "queue_", "redis_", "db_", "core_")},
    **{f"{part}memory_limit_mb": MEGABYTES for part in ("", "queue_", "redis_", "db_", "core_")},
    **{f"{part}{end}_scale": SCALE for part in ("", "queue_") for end in ("min", "max")},
    "db_storage_gi": (1, 1 << 16),
    "db_max_connections": (1, 10_000),
}
MAPS = ("labels", "annotations")
LISTS = ("image_pull_secrets", "volumes", "volume_mounts", "init_containers", "sidecars")
KNOWN = (*WHOLE, *NUMBERS, *MAPS, "service_account_name", *LISTS)
DEFAULTS = {"min_scale": 1, "max_scale": 1, "cpu": 1, "memory_mb": 2048}
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
LONGEST = 64 * 1024

Spec = Mapping[str, Any]


def check(
    spec: Spec, source: SourceKind, kind: PlaneKind = PlaneKind.LOCAL, *, privileged: bool = False
) -> None:
    """Refuse a spec that this kind of plane cannot mean."""
    for field, value in spec.items():
        if value is None:
            continue
        if field in NUMBERS:
            _number(spec, field, NUMBERS[field], source)
        elif field in WHOLE:
            bounds = (
                BUILT_SCALE[kind]
                if field == "min_scale" and source != SourceKind.EXTERNAL_DOCKER
                else WHOLE[field]
            )
            _whole(value, field, bounds, source)
        else:
            _shape(value, field, source)
    _ordered(spec, source)
    if len(str(spec)) > LONGEST:
        raise _wrong("", f"is too large: {LONGEST} characters at most", source)
    if kind is PlaneKind.KUBERNETES:

        def refuse(field: str, sentence: str) -> NoReturn:
            raise _wrong(field, sentence, source)

        pods.check(spec, refuse, privileged=privileged)


def _wrong(field: str, sentence: str, source: SourceKind) -> SourceConfiguration:
    path = f"source_config.resource_spec.{field}".rstrip(".")
    return SourceConfiguration(f"{path} {sentence} (source '{source}').")


def _number(spec: Spec, field: str, bounds: tuple[float, float], source: SourceKind) -> None:
    value = spec[field]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(field, "must be a number", source)
    if not bounds[0] <= round(value, 1) <= bounds[1]:
        raise _wrong(field, f"must be between {bounds[0]:g} and {bounds[1]:g}, not {value:g}", source)


def _whole(value: Any, field: str, bounds: tuple[int, int], source: SourceKind) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise _wrong(field, "must be a whole number", source)
    if not bounds[0] <= value <= bounds[1]:
        raise _wrong(field, f"must be between {bounds[0]} and {bounds[1]}, not {value:g}", source)


def _shape(value: Any, field: str, source: SourceKind) -> None:
    if field in MAPS and not (
        isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
    ):
        raise _wrong(field, "must be an object of texts", source)
    if field in LISTS and not (isinstance(value, list) and all(isinstance(item, dict) for item in value)):
        raise _wrong(field, "must be a list of objects", source)
    if field == "service_account_name" and not isinstance(value, str):
        raise _wrong(field, "must be text", source)
    if field == "image_pull_secrets":
        for item in value:
            name = item.get("name")
            if not isinstance(name, str) or len(name) > 253 or not SUBDOMAIN.fullmatch(name):
                raise _wrong(field, 'must name Kubernetes secrets: [{"name": "..."}]', source)


def _ordered(spec: Spec, source: SourceKind) -> None:
    pairs = [(f"{part}min_scale", f"{part}max_scale") for part in ("", "queue_")]
    pairs += [(field, f"{field}_limit") for field in NUMBERS if not field.endswith("_limit")]
    pairs += [(field, field.replace("_mb", "_limit_mb")) for field in WHOLE if field.endswith("memory_mb")]
    for low, high in pairs:
        if spec.get(low) is not None and spec.get(high) is not None and spec[high] < spec[low]:
            raise _wrong(high, f"({spec[high]:g}) is below {low} ({spec[low]:g})", source)


def check_flavour(spec: Spec | None, flavour: Flavour) -> None:
    """Replicas share their state through the database; the in-memory server has none."""
    replicas = (spec or {}).get("min_scale") or 1
    if flavour == Flavour.INMEM and replicas > 1:
        raise SourceConfiguration(
            f"source_config.resource_spec.min_scale is {replicas:g}, but GRAPHYARD_SERVER=inmem keeps its "
            "state in one process; use 1, or the server 'pg'."
        )


def shown(spec: Spec | None, source: SourceKind) -> dict[str, Any] | None:
    """A spec as it is answered: complete for images, as it was given for everything else."""
    if source != SourceKind.EXTERNAL_DOCKER:
        return dict(spec) if spec is not None else None
    given = {field: value for field, value in (spec or {}).items() if value is not None}
    full: dict[str, Any] = {**dict.fromkeys(KNOWN), **DEFAULTS, **given}
    if "max_scale" not in given:
        full["max_scale"] = max(full["min_scale"], DEFAULTS["max_scale"])
    return full
