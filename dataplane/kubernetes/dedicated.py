"""A Postgres server for one deployment: CloudNativePG's where that is served, else a StatefulSet on a volume.

Only the server is made here; role and database inside it are made as on any other. What was begun one way stays
so: nobody's data moves because somebody installed an operator. Its volume outlives the deployment unless purging
was asked for.
"""

import asyncio
import base64
import time
from dataclasses import dataclass

import structlog
from psycopg import AsyncConnection, OperationalError
from psycopg.conninfo import make_conninfo

from dataplane.kubernetes import manifests_databases as common
from dataplane.kubernetes import manifests_postgres as described
from dataplane.kubernetes import names, operated, waiting
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.kinds import (
    CNPG_CLUSTER,
    NETWORK_POLICY,
    POD,
    SECRET,
    SERVICE,
    STATEFUL_SET,
    VOLUME_CLAIM,
    Manifest,
    ending,
)
from dataplane.kubernetes.likeness import unlike
from dataplane.kubernetes.site import Site
from dataplane.kubernetes.stateful import GOING, TICK, Stateful
from sealing import Keyring
from workflows.causes import Code, Refused
from workflows.drift import STARTING, STOPPING
from workflows.shapes import Wish

log = structlog.get_logger()

AROUND = (SERVICE, NETWORK_POLICY, SECRET)
CONNECT = 3
"""Seconds for one attempt to connect."""


class Away(Exception):
    """The server is not to be reached now."""


@dataclass(frozen=True)
class Standing:
    """What there is of a server."""

    there: bool
    wrong: str = ""
    """Why it cannot be spoken to, or what is wrong with what leads to it."""
    code: Code | None = None


class Dedicated:
    """The servers of one plane's deployments."""

    def __init__(self, site: Site, cluster: Cluster) -> None:
        self._site = site
        self._cluster = cluster
        self._stateful = Stateful(cluster, site.progress_seconds)

    async def provision(self, wish: Wish) -> str:
        """Have the server take connections; the DSN of its superuser, as this process reaches it."""
        name, keyring = names.postgres(wish.deployment_id), Keyring.load(self._site.keys)
        by_operator = await self._by_operator(wish)
        password = await self._password(wish) or _derived(keyring, wish)
        await self._stateful.put(described.secret(self._site, wish, password))
        for manifest in described.around(self._site, wish, operated=by_operator):
            await self._stateful.put(manifest)
        if by_operator:
            await self._ask_operator(wish)
            return await self._until_healthy(name, wish)
        await self._stateful.reclaim(self._labels(wish))
        mark = await self._stateful.mark(keyring, name, password)
        wanted = described.stateful_set(self._site, wish, mark)
        await self._stateful.put(wanted)

        async def within(pod: Manifest) -> bool:
            return waiting.ready(pod) and await _takes_connections(_dsn(pod, password))

        pod = await self._stateful.until(wanted, within, what="the deployment's Postgres")
        return _dsn(pod, password)

    async def admin(self, wish: Wish) -> str:
        """The superuser's DSN of the server as it runs. Raises `Away`."""
        password, pod = await self._password(wish), await self._primary(wish)
        if password is None or pod is None or not _reachable(pod):
            raise Away("the deployment's Postgres is not to be reached")
        return _dsn(pod, password)

    async def standing(self, wish: Wish) -> Standing:
        """Whether there is a server, and what is wrong with it as an object."""
        name = names.postgres(wish.deployment_id)
        found, kept = await self._cluster.get(STATEFUL_SET, name), await self._operated(wish)
        if found is None and (kept is None or operated.asleep(kept)):
            return Standing(there=False)
        pod = await self._primary(wish)
        if kept is not None and found is None:
            if pod is None or not operated.healthy(kept):
                return Standing(True, operated.told(kept))
        elif wrong := self._otherwise(wish, found, pod):
            return wrong
        service = await self._cluster.get(SERVICE, name)
        (wanted,) = [
            one
            for one in described.around(self._site, wish, operated=found is None)
            if one["kind"] == SERVICE.name
        ]
        if service is None:
            return Standing(True, "without its service")
        if service["spec"].get("selector") != wanted["spec"]["selector"]:
            return Standing(True, "behind a service that leads elsewhere")
        if await self._password(wish) is None:
            return Standing(True, "without its secret")
        return Standing(True)

    async def remove(self, wish: Wish) -> None:
        """Take the server away, and its volumes unless they are to be kept."""
        name, keep = names.postgres(wish.deployment_id), not wish.purge
        found = await self._operated(wish)
        if found is not None and keep:
            await self._put_to_sleep(wish, found)
            for kind in AROUND:
                await self._stateful.delete(kind, name)
            return
        if found is not None:
            await self._stateful.delete(CNPG_CLUSTER, name)
            async with asyncio.timeout(GOING):
                while True:
                    if await self._cluster.get(CNPG_CLUSTER, name) is None:
                        break
                    await asyncio.sleep(TICK)
        await self._stateful.remove((STATEFUL_SET, *AROUND), name, self._labels(wish), keep=keep)

    async def left(self, wish: Wish) -> bool:
        """Whether there is anything of it but what is kept."""
        found = await self._operated(wish)
        if found is not None and not operated.asleep(found):
            return True
        name = names.postgres(wish.deployment_id)
        if found is None:
            return await self._stateful.left((STATEFUL_SET, *AROUND), name, self._labels(wish))
        return any([await self._cluster.get(kind, name) for kind in AROUND])

    async def _ask_operator(self, wish: Wish) -> None:
        """Have the Cluster object as wished, awake. What others say beside it is left: it is their way of
        operating it."""
        wanted = described.operated(self._site, wish, (await self._cluster.served()).version(CNPG_CLUSTER))
        name = wanted["metadata"]["name"]
        if await self._cluster.create(wanted) is not None:
            return
        live = await self._cluster.get(CNPG_CLUSTER, name)
        if live is None:
            raise Away("the Cluster object went while it was looked at")
        self._cluster.check_ours(live)
        labels = {**wanted["metadata"]["labels"], names.KEPT: None}
        meta = {"labels": labels, "annotations": wanted["metadata"]["annotations"]}
        await self._cluster.merge(CNPG_CLUSTER, name, {"metadata": meta, "spec": wanted["spec"]})

    async def _until_healthy(self, name: str, wish: Wish) -> str:
        moved, before = time.monotonic(), ""
        while True:
            found = await self._cluster.get(CNPG_CLUSTER, name)
            if found is not None and operated.healthy(found):
                try:
                    dsn = await self.admin(wish)
                except Away:
                    dsn = ""
                if dsn and await _takes_connections(dsn):
                    return dsn
            if found is not None and (now := operated.summary(found)) != before:
                moved, before = time.monotonic(), now
                log.info("a Postgres comes up", cluster=name, phase=operated.told(found))
            if time.monotonic() - moved > self._site.progress_seconds:
                await self._refuse(found, wish)
            await asyncio.sleep(TICK)

    async def _refuse(self, found: Manifest | None, wish: Wish) -> None:
        for pod in await self._cluster.all(POD, self._labels(wish)):
            if stands := waiting.obstacle(pod):
                raise Refused(stands.cause.code, stands.cause.message, stands.cause.fix)
        said = operated.told(found) if found else "it is gone"
        raise Refused(
            Code.DATABASE_FAILED,
            f"The deployment's Postgres does not come up: {said}.",
            "Look at the Cluster's status and at the operator's log.",
        )

    async def _put_to_sleep(self, wish: Wish, found: Manifest) -> None:
        """An operator's volumes go with its Cluster object, so that stays, without a running server."""
        patch = {
            "metadata": {
                "labels": {names.KEPT: "true"},
                "annotations": {described.HIBERNATION: "on"},
            }
        }
        name = found["metadata"]["name"]
        await self._cluster.merge(CNPG_CLUSTER, name, patch)
        log.warning("a Postgres is put to sleep and its volumes are kept", cluster=name)

    async def _by_operator(self, wish: Wish) -> bool:
        """Whether this server is CloudNativePG's to make; not if one of ours, or its volume, is there already."""
        if not (await self._cluster.served()).has(CNPG_CLUSTER):
            return False
        if await self._operated(wish) is not None:
            return True
        name = names.postgres(wish.deployment_id)
        ours = await self._cluster.get(STATEFUL_SET, name)
        volume = await self._cluster.get(VOLUME_CLAIM, f"{common.DATA}-{name}-0")
        return ours is None and volume is None

    async def _operated(self, wish: Wish) -> Manifest | None:
        if not (await self._cluster.served()).has(CNPG_CLUSTER):
            return None
        found = await self._cluster.get(CNPG_CLUSTER, names.postgres(wish.deployment_id))
        return found if found is not None and self._cluster.is_ours(found) else None

    async def _primary(self, wish: Wish) -> Manifest | None:
        if (found := await self._operated(wish)) is not None:
            return operated.primary(found, await self._cluster.all(POD, self._labels(wish)))
        pod = await self._stateful.pod(self._labels(wish))
        return None if pod is None or ending(pod) else pod

    def _otherwise(self, wish: Wish, found: Manifest | None, pod: Manifest | None) -> Standing | None:
        assert found is not None
        if found["spec"].get("replicas") != 1:
            return Standing(True, f"scaled to {found['spec'].get('replicas')}")
        if pod is None:
            return Standing(True, "without its pod")
        if ending(pod):
            return Standing(True, STOPPING)
        if stands := waiting.obstacle(pod):
            return Standing(True, STARTING, stands.cause.code)
        if not waiting.ready(pod):
            return Standing(True, STARTING)
        annotations = found["spec"]["template"]["metadata"].get("annotations") or {}
        mark = annotations.get(names.FINGERPRINT, "")
        if unlike(described.stateful_set(self._site, wish, mark), found):
            return Standing(True, "of a program that is not written down so")
        return None

    async def _password(self, wish: Wish) -> str | None:
        """As the Secret says, if there is one."""
        found = await self._cluster.get(SECRET, names.postgres(wish.deployment_id))
        said = ((found or {}).get("data") or {}).get("password")
        return base64.b64decode(said).decode() if said else None

    def _labels(self, wish: Wish) -> dict[str, str]:
        return common.labels(self._site, wish, described.ROLE)


def _derived(keyring: Keyring, wish: Wish) -> str:
    """The superuser's password: kept nowhere but in its Secret, and the same if that is lost."""
    return keyring.fingerprint(f"superuser of {wish.deployment_id}").partition(".")[2]


def _reachable(pod: Manifest) -> bool:
    return bool(pod.get("status", {}).get("podIP"))


def _dsn(pod: Manifest, password: str) -> str:
    return make_conninfo(
        host=pod["status"]["podIP"],
        port=described.PORT,
        user=described.SUPERUSER,
        password=password,
        dbname="postgres",
    )


async def _takes_connections(dsn: str) -> bool:
    try:
        async with await AsyncConnection.connect(dsn, connect_timeout=CONNECT) as connection:
            await connection.execute("select 1")
    except (OperationalError, OSError):
        return False
    return True
