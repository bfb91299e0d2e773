"""What there is while a chart's installation is being hurt: how many of each thing a deployment has, and whether
everything that was installed stands again."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg

from dataplane.kubernetes.kinds import POD
from dataplane.kubernetes.trouble import Trouble
from tests.kubernetes.installed import Installed

ONE_OF_EACH = {
    "Deployment": 1,
    "Service": 2,
    "Ingress": 1,
    "StatefulSet": 1,
    "database": 1,
    "role": 1,
    "Pod": 2,
}
"""A deployment with one replica: its server and its Valkey, each with a Service."""


async def until_counted(installed: Installed, deployment: str, limit: float = 90) -> None:
    """Until one of each exists and no more: a deployment serves before its older pods have gone."""
    deadline, seen = time.monotonic() + limit, ""
    while time.monotonic() < deadline:
        try:
            found = await installed.left_of(deployment)
            counts = Counter(one.split()[0] for one in found)
            if {kind: counts[kind] for kind in ONE_OF_EACH} == ONE_OF_EACH:
                return
            seen = str(found)
        except (psycopg.Error, Trouble) as error:
            seen = repr(error)
        await asyncio.sleep(0.5)
    raise AssertionError(f"not one of each within {limit:.0f} s: {seen}")


async def until_standing(installed: Installed, limit: float = 240) -> None:
    """Until every pod of the installation is ready and the API answers through the ingress."""
    cluster = await installed.at(installed.namespace)
    deadline, lame = time.monotonic() + limit, ["not looked at yet"]
    try:
        async with httpx.AsyncClient(base_url=installed.url, trust_env=False) as http:
            while lame:
                assert time.monotonic() < deadline, f"not up again within {limit:.0f} s: {lame}"
                await asyncio.sleep(0.2)
                try:
                    lame = list(_lame(await cluster.all(POD, {})))
                    lame += [] if (await http.get("/ready")).status_code == 200 else ["the API"]
                except (httpx.TransportError, Trouble) as error:
                    lame = [repr(error)]
    finally:
        await cluster.close()


def _lame(pods: list[dict[str, Any]]) -> Iterator[str]:
    for pod in pods:
        status = pod.get("status") or {}
        ready = {one["type"]: one["status"] for one in status.get("conditions") or ()}.get("Ready")
        if status.get("phase") != "Succeeded" and ready != "True":
            yield str(pod["metadata"]["name"])
