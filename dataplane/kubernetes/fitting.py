"""What a deployment has on a cluster against what it should have: written anew where an apply would not do, and
waited for until the cluster has followed.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from dataplane.kubernetes import names as labels
from dataplane.kubernetes import processes
from dataplane.kubernetes.belongings import Belongings, gather
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.kinds import DEPLOYMENT, KINDS, POD, SECRET, SERVICE, Manifest, ending
from dataplane.kubernetes.likeness import contents, fields, strange
from dataplane.kubernetes.sight import Builders
from dataplane.plane import Tell
from workflows.shapes import Wish

AGAIN = 0.4


class Fitting:
    """The fit of one plane's objects."""

    def __init__(self, cluster: Cluster, builders: Builders, progress_seconds: float) -> None:
        self._cluster = cluster
        self._builders = builders
        self._progress_seconds = progress_seconds

    async def whole(self, wish: Wish) -> Belongings:
        """All that there is, once what is being deleted is gone: what is written to it goes with it."""
        deadline = time.monotonic() + self._progress_seconds
        while True:
            found = await gather(self._cluster, wish.deployment_id)
            wanted = await self._builders.revision(wish)
            going = [
                one["metadata"]["name"] for one in map(found.like, wanted) if one is not None and ending(one)
            ]
            if not going or time.monotonic() > deadline:
                return found
            await asyncio.sleep(AGAIN)

    async def cleanse(self, wanted: Sequence[Manifest], found: Belongings) -> None:
        """Write anew in whole what somebody put fields into: an apply leaves those alone."""
        for one in wanted:
            live = found.like(one)
            if live is None or not self._cluster.is_ours(live):
                continue
            if ("spec" in one and strange(one, live)) or contents(live).keys() - contents(one).keys():
                await self._write(one, live)

    async def stale(self, wish: Wish, found: Belongings) -> list[str]:
        """Pods whose server began while its Secret said something else than it should."""
        changed = [
            one
            for one in await self._builders.revision(wish)
            if one["kind"] == SECRET.name
            and (live := found.like(one)) is not None
            and contents(live) != contents(one)
        ]
        if not changed:
            return []
        moments = [
            entry["time"]
            for one in changed
            for entry in ((found.like(one) or one)["metadata"].get("managedFields") or ())
            if entry.get("manager") != labels.MANAGER and entry.get("time")
        ]
        since = datetime.fromisoformat(min(moments).replace("Z", "+00:00")) if moments else datetime.now(UTC)
        pods = processes.living(list(found.of(POD, revision=wish.number, role="server")))
        return [pod["metadata"]["name"] for pod in pods if processes.begun(pod) >= since.astimezone(UTC)]

    async def settled(self, wish: Wish, tell: Tell) -> None:
        """As many servers as wished, all of them made as wished, and none besides."""
        deadline = time.monotonic() + self._progress_seconds
        while True:
            found = await gather(self._cluster, wish.deployment_id)
            if await self._is_settled(wish, found):
                return
            if time.monotonic() > deadline:
                raise TimeoutError("the cluster has not come to rest")
            tell("waiting for the cluster to come to rest")
            await asyncio.sleep(AGAIN)

    async def _is_settled(self, wish: Wish, found: Belongings) -> bool:
        slots = processes.living(list(found.of(POD, revision=wish.number, role="server")))
        if len(slots) != wish.replicas or any(not processes.ready(pod) for pod in slots):
            return False
        wanted = await self._builders.revision(wish)
        templates = [one["spec"]["template"] for one in wanted if one["kind"] == DEPLOYMENT.name]
        return all(
            not [*fields(template["spec"], pod.get("spec"), whole=False)]
            for template in templates
            for pod in slots
        )

    async def _write(self, wanted: Manifest, live: Manifest) -> None:
        kind, name = KINDS[wanted["kind"]], wanted["metadata"]["name"]
        metadata = {**wanted["metadata"], "resourceVersion": live["metadata"]["resourceVersion"]}
        body = {**wanted, "metadata": metadata}
        if wanted["kind"] == SERVICE.name:
            given = {key: live["spec"][key] for key in ("clusterIP", "clusterIPs") if key in live["spec"]}
            body["spec"] = {**given, **wanted["spec"]}
        path = await self._cluster.path(kind, name, None)
        await self._cluster.ask("PUT", path, query={"fieldManager": labels.MANAGER}, body=body)
