"""StatefulSets of one pod, as Valkey and Postgres are: applied whole, waited for with reasons, taken away whole."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping

import structlog

from dataplane.kubernetes import names, waiting
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.following import Following
from dataplane.kubernetes.kinds import KINDS, POD, SERVICE, STATEFUL_SET, VOLUME_CLAIM, Kind, Manifest, ending
from dataplane.kubernetes.likeness import told, unlike
from dataplane.kubernetes.obstacles import Obstacle
from dataplane.kubernetes.trouble import Trouble
from sealing import Keyring
from workflows.causes import Refused

log = structlog.get_logger()

TICK = 0.25
GOING = 120.0
"""Seconds that what was deleted may take to go, a pod's grace included."""
CONFLICT = 409
ATTEMPTS = 5
ALLOCATED = ("clusterIP", "clusterIPs")
Within = Callable[[Manifest], Awaitable[bool]]
"""Whether what runs in this pod does what it should."""


class Stateful:
    """What both do with a cluster."""

    def __init__(self, cluster: Cluster, progress_seconds: float) -> None:
        self._cluster = cluster
        self._progress_seconds = progress_seconds

    async def put(self, wanted: Manifest) -> None:
        """Have an object as it says and not otherwise, what others put beside our fields included."""
        for again in range(ATTEMPTS):
            try:
                await self._put(wanted)
            except Trouble as trouble:
                # Our own ghost made or changed it at the same moment.
                if trouble.status != CONFLICT or again == ATTEMPTS - 1:
                    raise
                await asyncio.sleep(TICK)
            else:
                return

    async def _put(self, wanted: Manifest) -> None:
        kind, name = KINDS[wanted["kind"]], wanted["metadata"]["name"]
        if kind is STATEFUL_SET:
            await self._fit(wanted)
        live = await self._cluster.apply(wanted)
        if places := unlike(wanted, live):
            log.info("put right", kind=kind.name, name=name, otherwise=told(places))
            meta, ours = live["metadata"], wanted["metadata"]
            spec = dict(wanted.get("spec") or {})
            if kind is SERVICE:
                # Given by the cluster, once; not to be taken back.
                spec |= {key: live["spec"][key] for key in ALLOCATED if key in live["spec"]}
            body = {
                **wanted,
                **({"spec": spec} if spec else {}),
                "metadata": {
                    **ours,
                    "labels": {**meta.get("labels", {}), **ours["labels"]},
                    "annotations": {**meta.get("annotations", {}), **ours["annotations"]},
                    "resourceVersion": meta["resourceVersion"],
                },
            }
            path = await self._cluster.path(kind, name, meta["namespace"])
            await self._cluster.ask("PUT", path, query={"fieldManager": names.MANAGER}, body=body)

    async def until(self, wanted: Manifest, within: Within, *, what: str) -> Manifest:
        """The pod of this StatefulSet once what runs in it does what it should. Raises `Refused` with a typed
        cause when it cannot, or when nothing has moved for as long as progress may take."""
        name, labels = wanted["metadata"]["name"], wanted["metadata"]["labels"]
        moved, before, hurried = time.monotonic(), ("", 0), set[str]()
        async with Following(self._cluster, (STATEFUL_SET, POD), labels) as there:
            while True:
                found, pod = there.named(STATEFUL_SET, name), _staying(there.of(POD))
                if pod is not None and current(found, pod) and await within(pod):
                    return pod
                if pod is not None and _stillborn(pod) and (uid := pod["metadata"]["uid"]) not in hurried:
                    # A node may take a minute to see off what never ran on it.
                    await self._end(pod, grace=0)
                    hurried.add(uid)
                if (now := (waiting.summary(pod), there.breaks)) != before:
                    moved, before = time.monotonic(), now
                    log.debug("waiting", what=what, pod=name, phase=pod and pod["status"].get("phase"))
                still = time.monotonic() - moved > self._progress_seconds
                whose = pod["metadata"]["name"] if pod else name
                stands = waiting.obstacle(pod, await self._said(whose) if still else ())
                if stands is not None and (still or (stands.hopeless and pod and current(found, pod))):
                    raise Refused(stands.cause.code, await self._with_words(stands), stands.cause.fix)
                if still:
                    raise TimeoutError(f"{what} has not come up, and nothing moves any more")
                # What runs within is asked itself, whatever the cluster says of it.
                await there.moved(TICK)

    async def pod(self, labels: Mapping[str, str]) -> Manifest | None:
        """The one pod, of two the one that stays."""
        return _staying(await self._cluster.all(POD, labels))

    async def restart(self, pod: Manifest, *, why: str) -> None:
        """Have another in the place of exactly this pod; one that replaced it already is left alone."""
        log.warning("a pod is made anew", pod=pod["metadata"]["name"], why=why)
        await self._end(pod)

    async def _end(self, pod: Manifest, *, grace: int | None = None) -> None:
        name = pod["metadata"]["name"]
        body: dict[str, object] = {"preconditions": {"uid": pod["metadata"]["uid"]}}
        if grace is not None:
            body["gracePeriodSeconds"] = grace
        path = await self._cluster.path(POD, name, pod["metadata"]["namespace"])
        try:
            await self._cluster.ask("DELETE", path, body=body, missing=True)
        except Trouble as trouble:
            if trouble.status != CONFLICT:
                raise

    async def remove(
        self, kinds: Iterable[Kind], name: str, labels: Mapping[str, str], *, keep: bool = False
    ) -> None:
        """Take away what is ours of these kinds by this name, its pods, and its volumes unless they are kept;
        returns once they are gone."""
        for kind in kinds:
            await self.delete(kind, name)
        for claim in await self._cluster.all(VOLUME_CLAIM, labels):
            called = claim["metadata"]["name"]
            if keep:
                await self._cluster.merge(
                    VOLUME_CLAIM, called, {"metadata": {"labels": {names.KEPT: "true"}}}
                )
                log.warning(
                    "a volume is kept, with all that is in it",
                    claim=called,
                    namespace=self._cluster.namespace,
                )
            else:
                await self._cluster.delete(VOLUME_CLAIM, called)
        # Also those that nobody owns any more.
        for pod in await self._cluster.all(POD, labels):
            if not ending(pod):
                await self._cluster.delete(POD, pod["metadata"]["name"])
        async with asyncio.timeout(GOING):
            while True:
                if not await self._cluster.all(POD, labels) and not await self.left(kinds, name, labels):
                    return
                await asyncio.sleep(TICK)

    async def delete(self, kind: Kind, name: str, *, propagation: str = "Background") -> None:
        """Ask for the end of one thing, if it is ours."""
        found = await self._cluster.get(kind, name)
        if found is not None and self._cluster.is_ours(found) and not ending(found):
            await self._cluster.delete(kind, name, propagation=propagation)

    async def left(self, kinds: Iterable[Kind], name: str, labels: Mapping[str, str]) -> bool:
        """Whether something of ours is there by this name, or a volume that nobody keeps."""
        for kind in kinds:
            found = await self._cluster.get(kind, name)
            if found is not None and self._cluster.is_ours(found):
                return True
        claims = await self._cluster.all(VOLUME_CLAIM, labels)
        return any(names.KEPT not in claim["metadata"]["labels"] for claim in claims)

    async def reclaim(self, labels: Mapping[str, str]) -> None:
        """Have volumes that were kept belong to somebody again."""
        for claim in await self._cluster.all(VOLUME_CLAIM, {**labels, names.KEPT: "true"}):
            patch = {"metadata": {"labels": {names.KEPT: None}}}
            await self._cluster.merge(VOLUME_CLAIM, claim["metadata"]["name"], patch)

    async def mark(self, keyring: Keyring, name: str, text: str) -> str:
        """A fingerprint of what it is started with, the same as long as that is the same: another key alone
        must not restart anybody."""
        found = await self._cluster.get(STATEFUL_SET, name)
        if found is not None:
            annotations = found["spec"]["template"]["metadata"].get("annotations") or {}
            if keyring.is_of(said := annotations.get(names.FINGERPRINT, ""), text):
                return str(said)
        return keyring.fingerprint(text)

    async def _fit(self, wanted: Manifest) -> None:
        """What a StatefulSet says of its volumes cannot be changed: another is put in its place, which takes
        over the pod and its volume where it can."""
        name = wanted["metadata"]["name"]
        live = await self._cluster.get(STATEFUL_SET, name)
        if live is None:
            await self._predecessor_gone(name, wanted["metadata"]["labels"])
            return
        if not self._cluster.is_ours(live) or claimed(live) == claimed(wanted):
            return
        log.info("its volumes are asked for otherwise: described anew", name=name)
        for template in wanted["spec"].get("volumeClaimTemplates", ()):
            await self._grow(f"{template['metadata']['name']}-{name}-0", template)
        if not ending(live):
            await self._cluster.delete(STATEFUL_SET, name, propagation="Orphan")
        async with asyncio.timeout(GOING):
            while (there := await self._cluster.get(STATEFUL_SET, name)) is not None:
                if there["metadata"]["uid"] != live["metadata"]["uid"]:
                    break
                await asyncio.sleep(TICK)
        if {one[0] for one in claimed(live)} != {one[0] for one in claimed(wanted)}:
            # One with other volumes is taken over too, and then neither changed nor replaced.
            pod = await self._cluster.get(POD, f"{name}-0")
            if pod is not None and not ending(pod):
                await self.restart(pod, why="its volumes are others")

    async def _predecessor_gone(self, name: str, labels: Mapping[str, str]) -> None:
        """A controller that finds the pod of the one before tries again later and later, up to minutes: better it
        finds none, or one that belongs to nobody, which it takes over."""
        async with Following(self._cluster, (POD,), labels) as found, asyncio.timeout(GOING):
            while (pod := found.named(POD, f"{name}-0")) is not None:
                if not (ending(pod) or pod["metadata"].get("ownerReferences")):
                    return
                await found.moved(GOING)

    async def _grow(self, claim: str, template: Manifest) -> None:
        patch = {"spec": {"resources": template["spec"]["resources"]}}
        try:
            await self._cluster.merge(VOLUME_CLAIM, claim, patch)
        except (Trouble, Refused) as trouble:
            log.warning("a volume keeps its size", claim=claim, why=str(trouble)[:200])

    async def _said(self, name: str) -> list[Manifest]:
        path = f"/api/v1/namespaces/{self._cluster.namespace}/events"
        query = {"fieldSelector": f"involvedObject.name={name}"}
        found: list[Manifest] = (await self._cluster.ask("GET", path, query=query))["items"]
        return found

    async def _with_words(self, stands: Obstacle) -> str:
        """With the last lines of what died, if something did."""
        message = stands.cause.message
        if not stands.container:
            return message
        said = await self._cluster.last_words(stands.pod, stands.container, previous=stands.previous, lines=5)
        return f"{message} It says: {said[-500:]}" if said else message


def _stillborn(pod: Manifest) -> bool:
    return ending(pod) and not waiting.begun(pod)


def _staying(pods: Iterable[Manifest]) -> Manifest | None:
    return min(pods, key=lambda one: (ending(one), one["metadata"]["name"]), default=None)


def current(found: Manifest | None, pod: Manifest) -> bool:
    """Whether the pod is of the StatefulSet as it is now, and stays."""
    if found is None or ending(pod):
        return False
    status = found.get("status") or {}
    if status.get("observedGeneration", 0) < found["metadata"]["generation"]:
        return False
    revision = (pod["metadata"].get("labels") or {}).get("controller-revision-hash")
    return revision == status.get("updateRevision")


def claimed(found: Manifest) -> list[tuple[str, str, str | None]]:
    """What a StatefulSet says of its volumes: name, size and class."""
    return [
        (
            one["metadata"]["name"],
            one["spec"]["resources"]["requests"]["storage"],
            one["spec"].get("storageClassName"),
        )
        for one in found["spec"].get("volumeClaimTemplates") or ()
    ]
