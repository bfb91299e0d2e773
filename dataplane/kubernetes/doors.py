"""Whether a deployment's door is open and where it leads, in the words of drift: pure."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from dataplane.kubernetes import names
from dataplane.kubernetes.belongings import Belongings
from dataplane.kubernetes.kinds import HTTP_ROUTE, INGRESS, SERVICE, Manifest
from dataplane.kubernetes.likeness import fields, strange, told
from workflows.drift import OPEN, Fact, Field

DOORS = (INGRESS.name, HTTP_ROUTE.name)


def facts(slug: str, short: str, wanted: Sequence[Manifest], found: Belongings) -> Iterator[Fact]:
    """`wanted` is what makes the door lead to the revision that is looked for."""
    service = next((one for one in found.of(SERVICE) if one["metadata"]["name"] == slug), None)
    if service is not None:
        mine = next((one for one in wanted if one["kind"] == SERVICE.name), None)
        yield Fact(field=Field.LINK, name=slug, seen=_link(service, short, mine))
    doors = [one for one in wanted if one["kind"] in DOORS]
    there = [found.like(one) for one in doors]
    if not any(there):
        return
    wrong = []
    for one, live in zip(doors, there, strict=True):
        if live is None:
            wrong.append(f"{one['kind']} {one['metadata']['name']} is missing")
        elif places := [*fields(one["spec"], live.get("spec"), "spec"), *strange(one, live)]:
            wrong.append(f"open otherwise: {told(list(dict.fromkeys(places)))}")
    yield Fact(field=Field.ROUTE, name=slug, seen=wrong[0] if wrong else OPEN)


def leads(service: Manifest, short: str) -> str:
    """Where a Service leads: `revision <number>`, or to whom else."""
    selector = (service.get("spec") or {}).get("selector") or {}
    ours = {names.SHORT: short, names.ROLE: "server"}
    number = selector.get(names.REVISION, "")
    rest = {name: value for name, value in selector.items() if name in (names.SHORT, names.ROLE)}
    extra = selector.keys() - {names.SHORT, names.ROLE, names.REVISION, names.PLANE, names.MANAGED_BY}
    if number.isdecimal() and rest == ours and not extra:
        return f"revision {number}"
    if not selector:
        return "to nobody"
    return "to others: " + ",".join(f"{name}={value}" for name, value in sorted(selector.items()))[:200]


def led_since(found: Belongings, slug: str) -> datetime | None:
    """When the door was led anywhere by us for the last time."""
    for service in found.of(SERVICE):
        if service["metadata"]["name"] != slug:
            continue
        moments = [
            datetime.fromisoformat(entry["time"].replace("Z", "+00:00")).astimezone(UTC)
            for entry in service["metadata"].get("managedFields") or ()
            if entry.get("manager") == names.MANAGER and entry.get("time")
        ]
        return max(moments, default=None)
    return None


def _link(service: Manifest, short: str, wanted: Manifest | None) -> str:
    seen = leads(service, short)
    if wanted is None or not seen.startswith("revision"):
        return seen
    spec = {name: value for name, value in wanted["spec"].items() if name != "selector"}
    wrong = [*fields(spec, service["spec"], "spec"), *strange(wanted, service)]
    return f"{seen}, but otherwise: {told(list(dict.fromkeys(wrong)))}" if wrong else seen
