"""Waiting for a revision's pods while there is progress, and telling early when there is no use in waiting.

Watches say what moved. There is no limit in total: what stands still for too long has failed, and so has what keeps
dying.
"""

import time
from collections.abc import Collection, Iterable

from dataplane.kubernetes import health, names, processes
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.following import Following
from dataplane.kubernetes.kinds import DEPLOYMENT, EVENT, POD, REPLICA_SET, Manifest
from dataplane.kubernetes.obstacles import Obstacle
from dataplane.local.diagnosis import crash_loop, diagnose, last_lines, masked, stuck
from dataplane.plane import Tell
from workflows.causes import Cause, Code, Refused
from workflows.shapes import Wish

POLL = 2.0
"""Seconds after which it is judged again though nothing moved: what stands still too long is known by the clock."""
MOST_DEATHS = 3
MOST_AWAY = 8
"""Deaths for want of a database; with the kubelet's growing pauses these are some ten minutes."""
REVISION_OF = "deployment.kubernetes.io/revision"


class Readiness:
    """The wait for the pods of one revision."""

    def __init__(
        self, cluster: Cluster, wish: Wish, secrets: Collection[str], *, progress_seconds: float, tell: Tell
    ) -> None:
        self._cluster = cluster
        self._wish = wish
        self._secrets = secrets
        self._progress_seconds = progress_seconds
        self._tell = tell
        self._labels = {**names.of_revision(cluster.plane, wish), names.ROLE: "server"}
        self._name = names.server(wish.deployment_id, wish.number)
        self._deaths: dict[str, bool] = {}
        """Ends that were looked into; whether it was for want of a database."""
        self._said = ""

    async def wait(self) -> None:
        """Return when every pod takes requests; `Refused` when one never will."""
        async with Following(self._cluster, (DEPLOYMENT, REPLICA_SET, POD), self._labels) as found:
            moved, before = time.monotonic(), ("", 0)
            while True:
                deployment, pods = found.named(DEPLOYMENT, self._name), found.of(POD)
                if deployment is None:
                    raise LookupError(f"the cluster does not know {self._name}")
                template = _template(deployment, found.of(REPLICA_SET))
                if template and health.ready(pods, self._wish.replicas, template):
                    self._tell(f"{self._wish.replicas} of {self._wish.replicas} ready")
                    return
                if (now := (health.summary(deployment, pods), found.breaks)) != before:
                    moved, before = time.monotonic(), now
                    self._tell(health.sentence(deployment, pods))
                still = time.monotonic() - moved > self._progress_seconds
                await self._judge(deployment, pods, still=still)
                if still:
                    # Judged, and not refused: somebody still says something.
                    moved = time.monotonic()
                await found.moved(POLL)

    async def _judge(self, deployment: Manifest, pods: list[Manifest], *, still: bool) -> None:
        if (unmade := health.unmade(deployment)) and (unmade.hopeless or still):
            raise _refused(unmade.cause)
        events = await self._events() if still else []
        for one in health.obstacles(pods, events):
            if one.death:
                await self._died(one)
                if still:
                    # The pause before its next start is longer than anybody waits here.
                    words = await self._cluster.last_words(one.pod, one.container, previous=one.previous)
                    raise _refused(crash_loop(words, len(self._deaths), self._secrets))
            elif one.hopeless:
                raise _refused(one.cause)
            elif still:
                raise _refused(await self._with_words(one))
        if still and not await self._speaks(pods):
            words = self._said
            raise _refused(stuck(self._progress_seconds, words, self._secrets))

    async def _died(self, one: Obstacle) -> None:
        """Each end once: what it said decides whether another is waited for."""
        if one.death in self._deaths:
            return
        words = await self._cluster.last_words(one.pod, one.container, previous=one.previous)
        found = diagnose(words, self._secrets) if one.container == processes.CONTAINER else None
        if one.cause.code is Code.OUT_OF_MEMORY:
            raise _refused(_told(one.cause, words, self._secrets))
        if found is not None and found.cause is not None:
            raise _refused(found.cause)
        self._deaths[one.death] = found is not None and found.away
        away = sum(self._deaths.values())
        deaths = len(self._deaths) - away
        self._tell(f"{one.container} of {one.pod} died: {one.cause.message}")
        if deaths >= MOST_DEATHS or away >= MOST_AWAY:
            failing = next(
                (
                    event
                    for event in await self._events()
                    if event.get("reason") == "Killing" and "probe" in str(event.get("message"))
                ),
                None,
            )
            if failing is not None:
                cause = Cause(
                    code=Code.PROBE_FAILING,
                    message=f"The server does not answer its probe: {failing['message']}.",
                    fix="Something at import or in its lifespan may wait for ever.",
                )
                raise _refused(_told(cause, words, self._secrets))
            raise _refused(crash_loop(words, len(self._deaths), self._secrets))

    async def _with_words(self, one: Obstacle) -> Cause:
        if not one.container:
            return one.cause
        words = await self._cluster.last_words(one.pod, one.container, previous=one.previous)
        return _told(one.cause, words, self._secrets)

    async def _speaks(self, pods: list[Manifest]) -> bool:
        """Whether a server said something new since this was asked last."""
        said = ""
        for pod in processes.living(pods):
            said += await self._cluster.last_words(pod["metadata"]["name"], processes.CONTAINER, lines=20)
        new, self._said = said != self._said, said
        return new

    async def _events(self) -> list[Manifest]:
        path = await self._cluster.path(EVENT, None, None)
        found: list[Manifest] = (
            await self._cluster.ask("GET", path, query={"fieldSelector": "involvedObject.kind=Pod"})
        )["items"]
        return [
            one for one in found if str(one["involvedObject"].get("name", "")).startswith(f"{self._name}-")
        ]


def _template(deployment: Manifest, made: Iterable[Manifest]) -> str:
    """The hash of the pods that a Deployment wants now, from what it made; empty until the cluster has taken it up."""
    status = deployment.get("status") or {}
    if status.get("observedGeneration", 0) < deployment["metadata"]["generation"]:
        return ""
    number = (deployment["metadata"].get("annotations") or {}).get(REVISION_OF)
    for one in made:
        if (one["metadata"].get("annotations") or {}).get(REVISION_OF) == number:
            return str(one["metadata"]["labels"].get("pod-template-hash", ""))
    return ""


def _told(cause: Cause, words: str, secrets: Collection[str]) -> Cause:
    last = "\n".join(last_lines(masked(words, secrets)))
    message = f"{cause.message}\nIts last lines:\n{last}\n" if last else cause.message
    return cause.model_copy(update={"message": message})


def _refused(cause: Cause) -> Refused:
    return Refused(cause.code, cause.message, cause.fix)
