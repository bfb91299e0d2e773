"""From an image to an agent that serves, against `kubectl apply` and `kubectl rollout status` of the same manifests, in
turns on one cluster; and what both ask of its API.

Built and given its databases is either beforehand. Ours then applies, waits, has every replica prove itself, and leads
callers there, until they are answered; kubectl applies and waits.
"""

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from dataplane.kubernetes import names
from dataplane.kubernetes.builders import Builders
from dataplane.kubernetes.databases import KubernetesDatabases
from dataplane.kubernetes.kinds import Manifest
from tests.benchmarks.table import Row, ratio, seconds
from tests.dataplane.contract import built, hear
from tests.dataplane.kubernetes.grounds import Grounds
from tests.journeys.yard import pack, project
from workflows.shapes import Wish

TIMES = 5
ASKED = re.compile(r"\] (GET|POST|PUT|PATCH|DELETE) https://\S+ \d+ ")
"""How `kubectl -v=6` tells of a request."""


async def measure(ground: Grounds, folder: Path) -> list[Row]:
    """The rows of both."""
    source = pack(project())
    ours: list[float] = []
    base: list[float] = []
    asked, of_kubectl = Counter[str](), Counter[str]()
    for _ in range(TIMES):
        for measured, times, requests in ((_ours, ours, asked), (_kubectl, base, of_kubectl)):
            # The first of all is built, the others find its image.
            wish = await built(ground.plane, ground.wish(uuid4(), ground.uploaded(source)))
            await ground.plane.databases.provision(wish)
            took, spent = await measured(ground, wish, folder)
            times.append(took)
            requests.clear()
            requests.update(spent)
            await ground.plane.servers.remove(wish)
            await ground.plane.databases.remove(wish)
    return [
        ratio("image to serving on a cluster, against kubectl apply and rollout status", ours, base, 1.15),
        Row("requests to the API for a rollout", _counted(asked), f"kubectl: {_counted(of_kubectl)}"),
    ]


async def _ours(ground: Grounds, wish: Wish, folder: Path) -> tuple[float, Counter[str]]:
    servers, requests = ground.plane.servers, ground.cluster.requests
    before, began = Counter(requests), time.perf_counter()
    marks: list[float] = []
    await servers.apply(wish)
    marks.append(time.perf_counter() - began)
    await servers.until_ready(wish, hear)
    marks.append(time.perf_counter() - began)
    await servers.prove(wish)
    marks.append(time.perf_counter() - began)
    await servers.switch(wish)
    marks.append(time.perf_counter() - began)
    print(", ".join(f"{mark:.2f}" for mark in marks))
    return marks[-1], requests - before


async def _kubectl(ground: Grounds, wish: Wish, folder: Path) -> tuple[float, Counter[str]]:
    databases = KubernetesDatabases(ground.site, ground.cluster)
    builders = Builders(ground.site, ground.cluster, databases)
    file = folder / f"{wish.deployment_id}.json"
    file.write_text(json.dumps(_list([*await builders.revision(wish), *await builders.door(wish)])))
    await databases.close()
    name = names.server(wish.deployment_id, wish.number)
    began = time.perf_counter()
    told = await _run("apply", "-f", str(file))
    told += await _run("rollout", "status", f"deployment/{name}", "-n", ground.site.namespace)
    took = time.perf_counter() - began
    print(seconds([took]))
    return took, Counter(ASKED.findall(told))


async def _run(*argv: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "kubectl",
        "-v=6",
        *argv,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()[-2000:]
    return said.decode()


def _list(objects: Sequence[Manifest]) -> Manifest:
    return {"apiVersion": "v1", "kind": "List", "items": [*objects]}


def _counted(asked: Counter[str]) -> str:
    return f"{asked.total()} ({', '.join(f'{count} {verb}' for verb, count in sorted(asked.items()))})"
