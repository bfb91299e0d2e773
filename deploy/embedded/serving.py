"""Whether deployments answer again: after a reboot their servers come up after the parts, and take longer."""

import asyncio
import time
from typing import Any

import httpx

from deploy.embedded.deployments import deployments
from deploy.embedded.home import Home
from deploy.embedded.ports import Stack
from deploy.embedded.show import Progress

COLD, WARM = 60.0, 5.0
"""Seconds to wait: servers that were just started take a while, one that crashes should not hold up every `up`."""


async def await_serving(home: Home, stack: Stack, progress: Progress, *, cold: bool) -> None:
    """Wait until what was deployed serves through the gateway, and say which does not: that fails no `up`."""
    began = time.monotonic()
    deadline = began + (COLD if cold else WARM)
    wanted = [one for one in await deployments(home) if one.get("active_revision_id")]
    known = [one for one in wanted if "/d/" in (one.get("url") or "")]
    if not known:
        return
    async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
        answers = await asyncio.gather(*(_answers(client, stack, one, deadline) for one in known))
    silent = [one["name"] for one, answered in zip(known, answers, strict=True) if not answered]
    note = f"{len(known) - len(silent)} of {len(known)} serving"
    if silent:
        note += f"; silent: {', '.join(silent)} (look with `graphyard logs {silent[0]}`)"
    progress.part("agents", time.monotonic() - began, note)


async def _answers(client: httpx.AsyncClient, stack: Stack, one: dict[str, Any], deadline: float) -> bool:
    # The public address may lead through somebody's proxy; this asks the gateway itself.
    url = stack.local_url + "/d/" + one["url"].rpartition("/d/")[2].rstrip("/") + "/ok"
    while True:
        try:
            if (await client.get(url)).status_code < 500:
                return True
        except httpx.HTTPError:
            pass
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.2)
