"""A revision switch under steady load: ten keep-alive clients, runs and streams among them, and no request
fails.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Coroutine

import httpx
import pytest

from tests.journeys.yard import Yard, project
from tests.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


class Load:
    """Clients that ask again and again until told to stop, and remember everything that went wrong."""

    def __init__(self, url: str) -> None:
        self.url, self.stopped = url, asyncio.Event()
        self.failures: list[str] = []
        self.answers: Counter[str] = Counter()
        self.prefixes: list[tuple[float, str]] = []

    async def waits(self) -> None:
        async with httpx.AsyncClient(base_url=self.url, timeout=60, trust_env=False) as http:
            while not self.stopped.is_set():
                body = {"assistant_id": "echo", "input": {"text": "x"}}
                await self.one("wait", http.post("/runs/wait", json=body))

    async def reads(self) -> None:
        async with httpx.AsyncClient(base_url=self.url, timeout=60, trust_env=False) as http:
            while not self.stopped.is_set():
                await self.one("read", http.get("/info"))

    async def streams(self) -> None:
        async with httpx.AsyncClient(base_url=self.url, timeout=60, trust_env=False) as http:
            while not self.stopped.is_set():
                body = {
                    "assistant_id": "echo",
                    "input": {"text": "s", "seconds": 4},
                    "stream_mode": ["values", "custom"],
                }
                try:
                    async with http.stream("POST", "/runs/stream", json=body) as answer:
                        text = "".join([part async for part in answer.aiter_text()])
                    if answer.status_code != 200 or "event: error" in text or '"result"' not in text:
                        self.failures.append(f"stream {answer.status_code}: {text[-300:]}")
                    else:
                        self.answers["stream"] += 1
                except httpx.HTTPError as error:
                    self.failures.append(f"stream {error!r}")

    async def one(self, kind: str, asking: Coroutine[None, None, httpx.Response]) -> None:
        try:
            answer = await asking
        except httpx.HTTPError as error:
            self.failures.append(f"{kind} {error!r}")
            return
        if answer.status_code != 200:
            self.failures.append(f"{kind} {answer.status_code} {answer.text[:200]}")
            return
        self.answers[kind] += 1
        if kind == "wait":
            self.prefixes.append((time.monotonic(), answer.json()["result"]))


async def test_no_request_fails_during_a_switch(stack: Stack) -> None:
    async with Yard(stack.url, stack.api_key) as yard:
        made = await yard.create("switch", {"ECHO_PREFIX": "old-"})
        found = await yard.deployed(
            made["id"], await yard.push(made["id"], project(), {"ECHO_PREFIX": "old-"})
        )
        load = Load(found["url"])
        clients = (
            [load.waits() for _ in range(5)]
            + [load.reads() for _ in range(3)]
            + [load.streams() for _ in range(2)]
        )
        async with asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(client)
            try:
                for prefix in ("new-", "newer-"):
                    revision = await yard.revise(
                        made["id"], secrets=[{"name": "ECHO_PREFIX", "value": prefix}]
                    )
                    await yard.deployed(made["id"], revision)
                    told = len(load.prefixes)
                    while len(load.prefixes) < told + 20:
                        await asyncio.sleep(0.05)
            finally:
                load.stopped.set()
        assert not load.failures, load.failures[:5]
        assert load.answers["stream"] >= 2, load.answers
        assert load.prefixes[0][1] == "old-X"
        assert load.prefixes[-1][1] == "newer-X"
        await yard.delete(made["id"])
        await yard.until_gone(made["id"])
