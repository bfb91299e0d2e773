"""Whether an object is as we would apply it: pure. What differs is named by its place, never by its value.

Two ways of being otherwise: a field of ours says something else or is gone; or somebody else put a field beside
ours, which no apply takes away. The API server fills in defaults and spells quantities its own way: neither is a
difference, and the first is told from the second by who owns the field.
"""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from dataplane.kubernetes import names
from dataplane.kubernetes.kinds import Manifest
from dataplane.kubernetes.traces import CONTROLLERS

OURS = CONTROLLERS | {names.MANAGER}
KEYS = ("name", "mountPath", "containerPort", "port", "host", "path", "topologyKey", "key")
"""By what the elements of a list are told apart, the first that all of them have."""
SUFFIXES = {
    "": Decimal(1), "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "k": Decimal(10**3),
    "M": Decimal(10**6), "G": Decimal(10**9), "T": Decimal(10**12), "Ki": Decimal(2**10), "Mi": Decimal(2**20),
    "Gi": Decimal(2**30), "Ti": Decimal(2**40),
}  # fmt: skip
WHOLE = frozenset({"env", "envFrom", "containers", "initContainers", "rules", "paths", "ports", "hostnames"})
"""Lists that are all ours: one element more than we said is somebody's."""
MOST = 3


def unlike(wanted: Manifest, live: Manifest) -> list[str]:
    """The places in which a live object is not as wanted; for an object of any kind that we write."""
    found: list[str] = []
    for part in ("spec", "type", "rules", "subsets"):
        if part in wanted:
            found += fields(wanted[part], live.get(part), part)
    labels = (live["metadata"].get("labels") or {}).items()
    if not (wanted["metadata"].get("labels") or {}).items() <= labels:
        found.append("labels")
    if "data" in wanted or "stringData" in wanted:
        found += _data(contents(wanted), contents(live))
    if "spec" in wanted:
        found += [place for place in strange(wanted, live) if place not in found]
    return found


def told(places: Sequence[str]) -> str:
    """Such as "image, env FOO and 2 more"."""
    more = f" and {len(places) - MOST} more" if len(places) > MOST else ""
    return ", ".join(places[:MOST]) + more


def fields(wanted: Any, live: Any, place: str = "", *, whole: bool = True) -> Iterator[str]:
    """The places below this one. With `whole`, one more element in a list that is all ours counts too."""
    if isinstance(wanted, Mapping):
        if live is not None and not isinstance(live, Mapping):
            yield place
            return
        for key, value in wanted.items():
            yield from fields(value, (live or {}).get(key), f"{place}.{key}".lstrip("."), whole=whole)
    elif isinstance(wanted, list) and wanted and all(isinstance(one, Mapping) for one in wanted):
        yield from _elements(wanted, live or [], place, whole=whole)
    elif not _same(wanted, live):
        yield place


def strange(wanted: Manifest, live: Manifest) -> list[str]:
    """Fields of the wanted object's spec that somebody else put beside ours."""
    found: list[str] = []
    for entry in live["metadata"].get("managedFields") or ():
        if entry.get("manager") in OURS or entry.get("subresource", ""):
            continue
        owned = (entry.get("fieldsV1") or {}).get("f:spec")
        if owned:
            found += _beside(owned, wanted["spec"], live.get("spec"), "spec")
    return list(dict.fromkeys(found))


def contents(found: Manifest) -> dict[str, bytes]:
    """What a Secret or ConfigMap holds, however it is spelled."""
    if found["kind"] != "Secret":
        return {key: str(value).encode() for key, value in (found.get("data") or {}).items()}
    held = {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}
    return held | {key: str(value).encode() for key, value in (found.get("stringData") or {}).items()}


def _data(wanted: Mapping[str, bytes], live: Mapping[str, bytes]) -> list[str]:
    return sorted(key for key in wanted.keys() | live.keys() if wanted.get(key) != live.get(key))


def _elements(wanted: Sequence[Mapping[str, Any]], live: Any, place: str, *, whole: bool) -> Iterator[str]:
    if not isinstance(live, list):
        yield place
        return
    key = next((key for key in KEYS if _tells_apart(key, wanted)), None)
    if key is None:
        if len(wanted) != len(live) and whole:
            yield place
        for at, one in enumerate(wanted):
            yield from fields(one, live[at] if at < len(live) else None, f"{place}[{at}]", whole=whole)
        return
    there = {one.get(key): one for one in live if isinstance(one, Mapping)}
    for one in wanted:
        spot = f"{place}[{one[key]}]"
        if one[key] in there:
            yield from fields(one, there[one[key]], spot, whole=whole)
        else:
            yield spot
    if whole and place.rpartition(".")[2] in WHOLE:
        for extra in there.keys() - {one[key] for one in wanted}:
            yield f"{place}[{extra}]"


def _tells_apart(key: str, wanted: Sequence[Mapping[str, Any]]) -> bool:
    said = [one.get(key) for one in wanted]
    return all(isinstance(one, str | int) for one in said) and len(set(said)) == len(said)


def _same(wanted: Any, live: Any) -> bool:
    if wanted == live or (not wanted and not live):
        return True
    if isinstance(wanted, str | int | float) and isinstance(live, str | int | float):
        first, second = _quantity(wanted), _quantity(live)
        return first is not None and first == second
    return False


def _quantity(said: str | int | float) -> Decimal | None:
    text = str(said)
    digits = text.rstrip("numkMGTi")
    try:
        return Decimal(digits) * SUFFIXES[text[len(digits) :]]
    except (InvalidOperation, KeyError):
        return None


def _beside(owned: Mapping[str, Any], wanted: Any, live: Any, place: str) -> Iterator[str]:
    """The fields of somebody's that are there and that we say nothing of."""
    for name, below in owned.items():
        if name.startswith("f:"):
            key = name[2:]
            if key in ("annotations", "replicas") or not isinstance(live, Mapping) or key not in live:
                continue
            spot = f"{place}.{key}"
            if not isinstance(wanted, Mapping) or key not in wanted:
                yield spot
            else:
                yield from _beside(below, wanted[key], live[key], spot)
        elif name.startswith("k:"):
            which = json.loads(name[2:])
            there, ours = _element(live, which), _element(wanted, which)
            spot = f"{place}[{'/'.join(str(one) for one in which.values())}]"
            if there is not None and ours is None:
                yield spot
            elif there is not None:
                yield from _beside(below, ours, there, spot)


def _element(elements: Any, which: Mapping[str, Any]) -> Any:
    if not isinstance(elements, list):
        return None
    # Keys that have defaults (a port's protocol) need not be said.
    for one in elements:
        if isinstance(one, Mapping) and all(one.get(key, value) == value for key, value in which.items()):
            return one
    return None
