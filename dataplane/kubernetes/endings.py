"""The end of whole revisions: drained, or at once; and nothing of them left."""

import time
from collections.abc import Collection
from uuid import UUID

from dataplane.kubernetes import names
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.following import Following
from dataplane.kubernetes.kinds import DEPLOYMENT, POD, REPLICA_SET, SECRET, Kind, Manifest, ending
from dataplane.kubernetes.standing import revision_of
from dataplane.plane import Tell

AT_ONCE = 1
"""Seconds of grace for pods that never served; none at all would leave containers that nobody waits for."""
GOING = 90.0
"""Seconds beyond their own grace that pods may take to go."""
LOOK = 2.0
"""Seconds after which the clock is looked at though nothing was told."""
MAKERS = (DEPLOYMENT, REPLICA_SET)


class Ending:
    """The end of some revisions of one deployment. Pods have their own grace to drain, or a shorter one."""

    def __init__(
        self, cluster: Cluster, deployment_id: UUID, revisions: Collection[int], *, grace: int | None = None
    ) -> None:
        self._cluster = cluster
        self._labels = {**names.of_deployment(cluster.plane, deployment_id), names.ROLE: "server"}
        self._revisions = frozenset(revisions)
        self._grace = grace
        self._asked: set[str] = set()
        """Whose end was asked for: what is told of it comes late, and nobody is asked twice."""

    async def come(self, tell: Tell) -> None:
        """Ask for it and return once nothing is left. Raises `TimeoutError` when pods do not go."""
        deadline: float | None = None
        async with Following(self._cluster, (*MAKERS, POD), self._labels) as found:
            while True:
                makers = [(kind, one) for kind in MAKERS for one in self._ours(found.of(kind))]
                pods = self._ours(found.of(POD))
                # One that was deleted in its first instant may still be made pods for, which are told of late.
                if not makers and not pods and not await self._left(POD):
                    break
                await self._ask(makers, pods)
                deadline = deadline or time.monotonic() + max(map(self._grace_of, pods), default=0) + GOING
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{len(pods)} pods do not go away")
                tell(f"{len(pods)} pods are ending")
                await found.moved(LOOK)
        for secret in await self._left(SECRET):
            await self._cluster.delete(SECRET, secret["metadata"]["name"])

    async def _ask(self, makers: list[tuple[Kind, Manifest]], pods: list[Manifest]) -> None:
        """A shorter grace than their own has to be said when a pod is deleted, and nobody may have said the longer one
        before: so pods are taken from those who made them first."""
        for kind, one in makers:
            if self._grace is not None:
                await self._delete(kind, one, propagation="Orphan")
            elif kind is DEPLOYMENT:
                await self._delete(kind, one, propagation="Foreground")
        for pod in pods if not makers or self._grace is not None else ():
            await self._delete(POD, pod)

    async def _delete(self, kind: Kind, one: Manifest, *, propagation: str = "Background") -> None:
        meta = one["metadata"]
        if ending(one) or meta["uid"] in self._asked:
            return
        grace = self._grace if kind is POD else None
        await self._cluster.delete(kind, meta["name"], grace=grace, propagation=propagation)
        self._asked.add(meta["uid"])

    def _ours(self, found: list[Manifest]) -> list[Manifest]:
        return [one for one in found if revision_of(one) in self._revisions]

    async def _left(self, kind: Kind) -> list[Manifest]:
        return self._ours(await self._cluster.all(kind, self._labels))

    def _grace_of(self, pod: Manifest) -> float:
        own = (pod.get("spec") or {}).get("terminationGracePeriodSeconds", 30)
        return float(own if self._grace is None else self._grace)
