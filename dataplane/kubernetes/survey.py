"""A whole plane at one glance: what is there of each deployment, from lists of all of a kind, in pages.

Nothing here knows a wish or asks a replica. What is kept of an object is what is told of it, so a thousand
deployments are a few megabytes. Looks that find nobody to ask leave their fields out of `looked`.
"""

import asyncio
import re
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from dataplane.kubernetes import doors, names, processes
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.kinds import (
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    HTTP_ROUTE,
    INGRESS,
    NETWORK_POLICY,
    POD,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
    STATEFUL_SET,
    VOLUME_CLAIM,
    Kind,
    Manifest,
    ending,
)
from dataplane.kubernetes.likeness import strange
from dataplane.kubernetes.sight import WRITTEN
from workflows import drift
from workflows.drift import Fact, Field
from workflows.shapes import Resource, ResourceKind
from workflows.surveys import Seen, SurveyPage

log = structlog.get_logger()

PAGE = 500
LOOKED = (Field.PROCESS, Field.ROUTE, Field.LINK, Field.REDIS)
CATALOGUED = (Field.DATABASE, Field.ROLE)
SURVEYED = (
    DEPLOYMENT,
    POD,
    SECRET,
    SERVICE,
    INGRESS,
    HTTP_ROUTE,
    STATEFUL_SET,
    VOLUME_CLAIM,
    SERVICE_ACCOUNT,
    NETWORK_POLICY,
    DISRUPTION_BUDGET,
)
SHORT = re.compile(r"[0-9a-f]{8}")
ENVIRONMENT = re.compile(r"server-[0-9a-f]{8}-(\d+)-[0-9a-z]+")


class Catalogue(Protocol):
    """The part of the databases that a survey asks."""

    async def surveyed(self) -> dict[str, Seen]: ...


@dataclass
class _Revision:
    """The servers of one revision."""

    written: bool = False
    ordered: int = 0
    image: str = ""
    wrong: str = ""
    pods: list[Manifest] = field(default_factory=list)
    """Of each only what is judged."""
    secrets: set[str] = field(default_factory=set)


@dataclass
class _Valkey:
    there: bool = False
    written: bool = False
    ready: bool = False
    runs: bool = False
    holds: bool = False


@dataclass
class _Place:
    """What a cluster shows of one deployment."""

    revisions: dict[int, _Revision] = field(default_factory=lambda: defaultdict(_Revision))
    services: dict[str, str] = field(default_factory=dict)
    """Of the door, where each leads."""
    doors: set[str] = field(default_factory=set)
    """Names of Ingresses or HTTPRoutes."""
    valkey: _Valkey = field(default_factory=_Valkey)
    around: str = ""
    """The name of what stands around the servers: it is of no use, and nobody's, without them."""


class Survey:
    """Looks over one plane."""

    def __init__(self, cluster: Cluster, catalogue: Catalogue | None, *, page: int = PAGE) -> None:
        """Without a catalogue databases are not looked at in bulk: each is on a server of its own."""
        self._cluster = cluster
        self._catalogue = catalogue
        self._page = page

    async def pages(self) -> AsyncGenerator[SurveyPage, None]:
        """Everything of ours, in the order of its digits; the ranges of the pages leave no gap. Raises while the
        API is away."""
        catalogue = asyncio.create_task(self._catalogued())
        try:
            places = await self._places()
            found = await catalogue
        finally:
            catalogue.cancel()
        looked = [*LOOKED, *(CATALOGUED if found is not None else ())]
        shorts = sorted({*places, *(found or {})})
        firsts = ["", *shorts[self._page :: self._page]]
        for at, first in enumerate(firsts):
            seen = []
            for short in shorts[at * self._page : (at + 1) * self._page]:
                one = (found or {}).get(short) or Seen(short=short)
                if (place := places.pop(short, None)) is not None:
                    one.facts += _facts(short, place)
                    one.resources += _resources(short, place)
                seen.append(one)
            end = firsts[at + 1] if at + 1 < len(firsts) else None
            yield SurveyPage(plane=self._cluster.plane, first=first, end=end, looked=looked, seen=seen)

    async def _catalogued(self) -> dict[str, Seen] | None:
        if self._catalogue is None:
            return None
        try:
            return await self._catalogue.surveyed()
        except Exception as error:  # away, restarting, out of connections: all the same here
            log.warning("the survey could not see the databases", error=type(error).__name__)
            return None

    async def _places(self) -> dict[str, _Place]:
        places: defaultdict[str, _Place] = defaultdict(_Place)
        served = await self._cluster.served()
        for kind in SURVEYED:
            if not served.has(kind):
                continue
            async for page in self._cluster.pages(kind):
                for found in page:
                    short = (found["metadata"].get("labels") or {}).get(names.SHORT, "")
                    if SHORT.fullmatch(short):
                        _note(places[short], kind, found, short)
                # A page of pods takes a while to judge; others want to go on meanwhile.
                await asyncio.sleep(0)
        # Of what is just going away there is nothing to tell.
        return {short: place for short, place in places.items() if any(_resources(short, place))}


def _note(place: _Place, kind: Kind, found: Manifest, short: str) -> None:
    labels = found["metadata"].get("labels") or {}
    role, name = labels.get(names.ROLE, ""), found["metadata"]["name"]
    number = int(labels[names.REVISION]) if labels.get(names.REVISION, "").isdecimal() else None
    going = ending(found)
    match kind.name, role:
        case "Deployment", "server" if number is not None and not going:
            revision = place.revisions[number]
            revision.written, revision.ordered = True, int(found["spec"].get("replicas", 1))
            revision.image = processes.image(found["spec"]["template"]["spec"])
            revision.wrong = _edited(found)
        case "Pod", "server" if number is not None:
            place.revisions[number].pods.append(_brief(found))
        case "Secret", _ if (named := ENVIRONMENT.fullmatch(name)) and not going:
            place.revisions[int(named[1])].secrets.add(name)
        case "Service", _ if role not in ("redis", "postgres") and not going:
            place.services[name] = doors.leads(found, short)
        case (("Ingress" | "HTTPRoute"), _) if not going:
            place.doors.add(name)
        case "StatefulSet", "redis":
            place.valkey.there = place.valkey.written = True
            place.valkey.ready = int((found.get("status") or {}).get("readyReplicas") or 0) > 0
        case "Pod", "redis":
            place.valkey.runs |= processes.ready(found)
        case (("Secret" | "Service"), "redis") if not going:
            place.valkey.there = True
        case (("ServiceAccount" | "NetworkPolicy" | "PodDisruptionBudget"), "server") if not going:
            place.around = name
        case "PersistentVolumeClaim", "redis" if not going:
            place.valkey.there = place.valkey.holds = True
        case _:
            pass


def _edited(deployment: Manifest) -> str:
    """Who wrote into it beside us, if somebody did."""
    managers = sorted(
        entry["manager"]
        for entry in deployment["metadata"].get("managedFields") or ()
        if strange({"spec": {}}, {**deployment, "metadata": {"managedFields": [entry]}})
    )
    return f"edited by {managers[0]}" if managers else ""


def _brief(pod: Manifest) -> Manifest:
    """Of a pod, what is judged: most of it is spec."""
    metadata = {
        key: value
        for key, value in pod["metadata"].items()
        if key in ("name", "creationTimestamp", "deletionTimestamp")
    }
    containers = [
        {"name": one.get("name"), "image": one.get("image")}
        for one in pod["spec"].get("containers") or ()
        if one.get("name") == processes.CONTAINER
    ]
    status = {
        key: value
        for key, value in (pod.get("status") or {}).items()
        if key in ("phase", "reason", "conditions", "containerStatuses")
    }
    return {"metadata": metadata, "spec": {"containers": containers}, "status": status}


def _facts(short: str, place: _Place) -> Iterator[Fact]:
    for number, revision in sorted(place.revisions.items()):
        yield from _servers(short, number, revision)
    for slug in place.doors:
        yield Fact(field=Field.ROUTE, name=slug, seen=drift.OPEN)
    for slug, leads in place.services.items():
        yield Fact(field=Field.LINK, name=slug, seen=leads)
    if place.valkey.written:
        seen = drift.RUNNING if place.valkey.runs else drift.STARTING
        yield Fact(field=Field.REDIS, name=f"redis-{short}", seen=seen)


def _servers(short: str, number: int, revision: _Revision) -> Iterator[Fact]:
    slots = processes.living(revision.pods)
    count = max(len(slots), revision.ordered if revision.written else 0)
    for index in range(count):
        name = f"server-{short}-{number}-{index}"
        if index < len(slots):
            yield Fact(field=Field.PROCESS, name=name, seen=processes.state(slots[index]).seen)
            runs = processes.image(slots[index]["spec"])
            told = (
                f"{runs}, written down as {revision.image}"
                if revision.written and revision.image != runs
                else runs
            )
            yield Fact(field=Field.IMAGE, name=name, seen=told)
        else:
            yield Fact(field=Field.PROCESS, name=name, seen=drift.STARTING)
        wrong = revision.wrong
        if not revision.written:
            wrong = "its Deployment is missing"
        elif not revision.secrets:
            wrong = "its Secret is missing"
        yield Fact(field=Field.ENVIRONMENT, name=name, seen=wrong or drift.AS_WISHED)
    if not count and revision.written:
        yield Fact(field=Field.PROCESS, name=f"server-{short}-{number}-0", seen=WRITTEN)


def _resources(short: str, place: _Place) -> Iterator[Resource]:
    for number, revision in sorted(place.revisions.items()):
        slots = processes.living(revision.pods)
        there = revision.written or revision.secrets or slots
        for index in range(max(len(slots), revision.ordered, 1 if there else 0)):
            yield Resource(kind=ResourceKind.PROCESS, name=f"server-{short}-{number}-{index}")
    routes = place.doors | set(place.services)
    if not routes and not place.revisions and place.around:
        routes = {place.around}
    for slug in sorted(routes):
        yield Resource(kind=ResourceKind.ROUTE, name=slug)
    if place.valkey.there:
        yield Resource(kind=ResourceKind.REDIS, name=f"redis-{short}", holds_data=place.valkey.holds)
