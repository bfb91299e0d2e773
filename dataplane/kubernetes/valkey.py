"""The deployments' Valkeys on a cluster: made, found, looked at, put right, taken away.

One that runs is put right as it runs where that is possible. Without a volume its data lives as long as its pod:
a restart of its container keeps it, another pod begins empty. Runs are then found again by the servers
themselves, whose queue is in Postgres; what is lost is what was being streamed at that moment.
"""

import base64
from urllib.parse import quote

from dataplane.kubernetes import manifests_databases as common
from dataplane.kubernetes import manifests_valkey as described
from dataplane.kubernetes import names, waiting
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.kinds import (
    NETWORK_POLICY,
    SECRET,
    SERVICE,
    STATEFUL_SET,
    VOLUME_CLAIM,
    Manifest,
    ending,
)
from dataplane.kubernetes.likeness import unlike
from dataplane.kubernetes.site import Site
from dataplane.kubernetes.stateful import Stateful, current
from dataplane.valkey import righted
from dataplane.valkey.client import Address, Shown, connected, look
from dataplane.valkey.judged import differing, entitled, running, told
from sealing import Keyring
from workflows.causes import Code
from workflows.drift import MISSING, RUNNING, STARTING, STOPPING, Fact, Field
from workflows.shapes import Resource, ResourceKind, Wish

KINDS = (STATEFUL_SET, SERVICE, NETWORK_POLICY, SECRET)
CHANCES = 3
"""One that is busy beyond measure may miss a question."""


class Valkeys:
    """The deployments' Valkeys of one plane."""

    def __init__(self, site: Site, cluster: Cluster) -> None:
        self._site = site
        self._cluster = cluster
        self._stateful = Stateful(cluster, site.progress_seconds)

    async def provision(self, wish: Wish) -> None:
        """Have the wish's Valkey run with its password and keep its data, and answer."""
        keyring, password = self._opened(wish)
        name = names.redis(wish.deployment_id)
        mark = await self._stateful.mark(keyring, name, described.configuration(password))
        for manifest in described.manifests(self._site, wish, password, mark):
            await self._stateful.put(manifest)
        silent: dict[str, int] = {}

        async def within(pod: Manifest) -> bool:
            return await self._settled(pod, password, silent)

        await self._stateful.until(manifest, within, what="the deployment's Valkey")

    async def remove(self, wish: Wish) -> None:
        """End it, and its data with it."""
        await self._stateful.remove(KINDS, names.redis(wish.deployment_id), self._labels(wish))

    async def observe(self, wish: Wish) -> list[Resource]:
        """Whether anything of it exists."""
        name = names.redis(wish.deployment_id)
        there = await self._stateful.left(KINDS, name, self._labels(wish))
        return [Resource(kind=ResourceKind.REDIS, name=name)] if there else []

    async def facts(self, wish: Wish) -> list[Fact]:
        """All that a look at one deployment's Valkey shows. Raises when the cluster is away."""
        name, (keyring, password) = names.redis(wish.deployment_id), self._opened(wish)
        found = await self._cluster.get(STATEFUL_SET, name)
        if found is None:
            return [Fact(field=Field.REDIS, name=name, seen=MISSING)]
        pod = await self._stateful.pod(self._labels(wish))
        service = await self._cluster.get(SERVICE, name)
        address = _address(pod) if pod else None
        shown = await look(address, password) if address else Shown()
        seen, code = _process(found, pod, shown, service, self._labels(wish))
        facts = [Fact(field=Field.REDIS, name=name, seen=seen, code=code)]
        if seen == RUNNING:
            facts.append(Fact(field=Field.REDIS_PASSWORD, name=name, seen=told(entitled(shown, password))))
            loose = _loose(shown) + await self._otherwise(wish, keyring, password, found)
            facts.append(Fact(field=Field.PERSISTENCE, name=name, seen=told(loose)))
        return facts

    def uri(self, wish: Wish) -> str:
        """What the deployment's servers connect with. Holds the password."""
        _, password = self._opened(wish)
        host = f"{names.redis(wish.deployment_id)}.{self._site.namespace}.svc"
        return f"redis://:{quote(password, safe='')}@{host}:{described.PORT}/0"

    async def _settled(self, pod: Manifest, password: str, silent: dict[str, int]) -> bool:
        """Whether it is as it should be, after putting right what can be; what cannot is started anew."""
        if not (address := _address(pod)):
            return False
        shown = await look(address, password)
        if shown.loading:
            return False
        uid = pod["metadata"]["uid"]
        if shown.trouble:
            silent[uid] = silent.get(uid, 0) + 1
            # One whose readiness was seen had its time to listen.
            if waiting.ready(pod) and silent[uid] >= CHANCES and shown.trouble == "not answering":
                await self._stateful.restart(pod, why=shown.trouble)
            return False
        if not shown.inside or not shown.rights:
            await self._stateful.restart(pod, why="locked out")
            return False
        if not (entitled(shown, password) or differing(shown) or shown.follows):
            return waiting.ready(pod)
        name = pod["metadata"]["name"]
        async with connected(address) as client:
            await righted.do(client, ("AUTH", "default", password), name)
            await righted.doors(client, shown, password, name)
            await righted.settings(client, shown, name)
        return False

    async def _otherwise(self, wish: Wish, keyring: Keyring, password: str, found: Manifest) -> list[str]:
        """What of its next start is not as wished."""
        wrong = []
        text = described.configuration(password)
        secret = await self._cluster.get(SECRET, found["metadata"]["name"])
        if secret is None:
            wrong.append("without its configuration")
        elif (secret.get("data") or {}).get(described.CONFIGURATION) != base64.b64encode(
            text.encode()
        ).decode():
            wrong.append("with another configuration")
        annotations = found["spec"]["template"]["metadata"].get("annotations") or {}
        mark = annotations.get(names.FINGERPRINT, "")
        # A key that is not here any more is no news of the configuration.
        wanted = described.stateful_set(self._site, wish, mark)
        if unlike(wanted, found) or keyring.is_of(mark, text) is False:
            wrong.append("of a program that is not written down so")
        if wish.production:
            claim = f"{common.DATA}-{found['metadata']['name']}-0"
            if await self._cluster.get(VOLUME_CLAIM, claim) is None:
                wrong.append("without its volume")
        return wrong

    def _opened(self, wish: Wish) -> tuple[Keyring, str]:
        keyring = Keyring.load(self._site.keys)
        return keyring, keyring.open_map(wish.credentials, str(wish.deployment_id))["redis"]

    def _labels(self, wish: Wish) -> dict[str, str]:
        return common.labels(self._site, wish, described.ROLE)


def _process(
    found: Manifest, pod: Manifest | None, shown: Shown, service: Manifest | None, labels: dict[str, str]
) -> tuple[str, Code | None]:
    """How it is, in a few words, and why if that is known."""
    if found["spec"].get("replicas") != 1:
        return f"scaled to {found['spec'].get('replicas')}", None
    if pod is None:
        return "without its pod", None
    if ending(pod):
        return STOPPING, None
    if stands := waiting.obstacle(pod):
        code = stands.cause.code
        if shown.trouble or not _address(pod):
            return ("dead" if code in (Code.DATABASE_FAILED, Code.OUT_OF_MEMORY) else STARTING), code
    if not _address(pod) or shown.loading or (shown.trouble and not waiting.ready(pod)):
        return STARTING, None
    if not current(found, pod):
        return "of an older description", None
    if service is None:
        return "without its service", None
    if service["spec"].get("selector") != labels:
        return "behind a service that leads elsewhere", None
    return running(shown), None


def _loose(shown: Shown) -> list[str]:
    wrong = differing(shown)
    found = ["off"] if wrong.get("appendonly") else []
    found += [f"with {name} {value or 'empty'}" for name, value in wrong.items() if name != "appendonly"]
    if shown.persistence.get("aof_last_write_status", "ok") != "ok":
        found.append("failing to write")
    return found


def _address(pod: Manifest) -> Address | None:
    """Where its pod is reached from here."""
    ip = pod.get("status", {}).get("podIP")
    return (ip, described.PORT) if ip else None
