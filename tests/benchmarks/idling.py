"""A plane of many deployments at rest: what its watch asks of the API, and what a sweep over it costs.

Against an API without kubelets, to which nothing happens but what is done here; in a process of its own, whose peak
is the memory a sweep takes. `python -m tests.benchmarks.idling <kubeconfig>` measures and prints as JSON.
"""

import asyncio
import contextlib
import json
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import uuid4

from dataplane.kubernetes import names
from dataplane.kubernetes.builders import Builders
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.kinds import DEPLOYMENT, POD, Manifest
from dataplane.kubernetes.ours import Ours
from dataplane.kubernetes.remembered import Remembered
from dataplane.kubernetes.survey import Survey
from dataplane.kubernetes.watch import SAVE, Watch
from sealing import Keyring
from tests.benchmarks.table import Row
from tests.cluster import PLANE, a_site
from tests.wishes import a_wish
from workflows import names as plain
from workflows.drift import AS_WISHED, Field
from workflows.shapes import Wish

COUNTS = (1, 100, 1_000)
ILL = 3
SETTLED = SAVE + 5
"""Seconds after which what was known anew is written down, and the watch at rest."""
WINDOW = 20
AT_ONCE = 16
NAMESPACE = f"idle-{uuid4().hex[:8]}"
IMAGE = f"sha256:{'0' * 64}"


class Addresses:
    """Databases that nobody asks."""

    def postgres_uri(self, wish: Wish) -> str:
        return "postgresql://nobody@127.0.0.1:1/none"

    def redis_uri(self, wish: Wish) -> str:
        return "redis://127.0.0.1:1/0"


async def measure(kubeconfig: Path) -> list[Row]:
    """A row for each size, and those of the sweep over the largest."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "tests.benchmarks.idling", str(kubeconfig),
        stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2],
        env={**os.environ, "KUBECONFIG": str(kubeconfig)},
    )  # fmt: skip
    try:
        said, _ = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert child.returncode == 0, "the idle plane was not measured"
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    rows = []
    for idle in found["idle"]:
        asked = {verb: count * 60 // WINDOW for verb, count in idle["asked"].items()}
        rows.append(
            Row(
                f"requests to the API in an idle minute, {idle['count']:,} deployments",
                f"{sum(asked.values())} {asked or ''} (from {WINDOW} s at rest; {idle['begun']} to begin)",
                "not growing",
                idle["asked"].keys() <= {"WATCH"},
            )
        )
    sweep = found["sweep"]
    rows.append(
        Row(
            f"a sweep over {COUNTS[-1]:,} deployments of a cluster, {ILL} of them ill",
            f"{sweep['seconds']:.2f} s, {sweep['asked']} requests, {sweep['peak_mb']:.0f} MB at its peak"
            f" ({sweep['grown_mb']:.0f} MB grown)",
        )
    )
    return rows


async def all_sizes(kubeconfig: Path) -> dict[str, Any]:
    """Idle at each size, then the sweep; what must hold however fast it is, is asserted."""
    cluster = await Cluster.connect(kubeconfig, NAMESPACE, PLANE)
    try:
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        await cluster.ask("POST", "/api/v1/namespaces", body=manifest)
        wishes: list[Wish] = []
        idle = []
        with tempfile.TemporaryDirectory() as home:
            keys = Path(home) / "sealing.keys"
            Keyring.create(keys)
            for count in COUNTS:
                wishes += await _fill(cluster, keys, count - len(wishes))
                idle.append({"count": count, **await _idle(kubeconfig)})
        # Whatever is asked at rest but of watches would be asked of each, or every so often of all.
        assert all(one["asked"].keys() <= {"WATCH"} for one in idle), idle
        return {"idle": idle, "sweep": await _sweep(cluster, wishes)}
    finally:
        await cluster.close()


async def _idle(kubeconfig: Path) -> dict[str, Any]:
    cluster = await Cluster.connect(kubeconfig, NAMESPACE, PLANE)
    changes = Watch(cluster, Ours(), memory=Remembered(cluster)).changes()
    told: set[Any] = set()

    async def listen() -> None:
        async for some in changes:
            told.update(some)

    listening = asyncio.create_task(listen())
    try:
        # Nothing is waited for but time: being at rest cannot be seen.
        await asyncio.sleep(SETTLED)
        begun = Counter(cluster.requests)
        told.clear()
        await asyncio.sleep(WINDOW)
        assert not listening.done(), "the watch ended"
        assert not told, f"told of {len(told)} deployments to which nothing happened"
        return {"begun": begun.total(), "asked": dict(cluster.requests - begun)}
    finally:
        listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listening
        await changes.aclose()
        await cluster.close()


async def _sweep(cluster: Cluster, wishes: list[Wish]) -> dict[str, Any]:
    ill = {plain.short(wish.deployment_id) for wish in wishes[:: len(wishes) // ILL][:ILL]}
    for wish in wishes:
        if plain.short(wish.deployment_id) in ill:
            await cluster.delete(DEPLOYMENT, names.server(wish.deployment_id, wish.number))
    before, asked = _peak(), cluster.requests.total()
    began = time.perf_counter()
    seen = [one async for page in Survey(cluster, None).pages() for one in page.seen]
    seconds, asked = time.perf_counter() - began, cluster.requests.total() - asked
    wrong = {
        one.short
        for one in seen
        if any(fact.field is Field.ENVIRONMENT and fact.seen != AS_WISHED for fact in one.facts)
    }
    assert len(seen) == len(wishes), f"{len(seen)} of {len(wishes)} were seen"
    assert wrong == ill, f"found {wrong}, hurt {ill}"
    return {"seconds": seconds, "asked": asked, "peak_mb": _peak(), "grown_mb": _peak() - before}


async def _fill(cluster: Cluster, keys: Path, more: int) -> list[Wish]:
    """Deployments as they are once they serve; what a kubelet would say of their pods is left unsaid."""
    wishes = [a_wish(name=f"idle-{uuid4().hex[:6]}", image=IMAGE) for _ in range(more)]
    ring = Keyring.load(keys)
    builders = Builders(a_site(NAMESPACE, keys), cluster, Addresses())
    room = asyncio.Semaphore(AT_ONCE)

    async def make(wish: Wish) -> Wish:
        owner = str(wish.deployment_id)
        passwords = ring.seal_map({"postgres": "p", "redis": "r"}, owner)
        wish = wish.model_copy(update={"environment": ring.seal_map({}, owner), "credentials": passwords})
        async with room:
            made = [*await builders.revision(wish), *await builders.door(wish)]
            written = next(one for one in made if one["kind"] == DEPLOYMENT.name)
            for one in [*made, _pod(written)]:
                assert await cluster.create(one) is not None, f"{one['kind']} was there already"
        return wish

    return list(await asyncio.gather(*(make(wish) for wish in wishes)))


def _pod(deployment: Manifest) -> Manifest:
    template = deployment["spec"]["template"]
    metadata = {
        **template["metadata"],
        "name": f"{deployment['metadata']['name']}-pod",
        "namespace": deployment["metadata"]["namespace"],
    }
    return {"apiVersion": "v1", "kind": POD.name, "metadata": metadata, "spec": template["spec"]}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    print(json.dumps(asyncio.run(all_sizes(Path(sys.argv[1])))))
