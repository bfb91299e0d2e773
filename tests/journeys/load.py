"""Steady load on one deployment: keep-alive clients, runs and streams among them, that remember all that failed."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

PAUSE = 0.05
"""Seconds between two reads of one client: flat out, three of them leave a machine of two cores nothing for the servers
that are to start meanwhile."""


JSON = {"Content-Type": "application/json"}


async def in_chunks(body: Mapping[str, Any]) -> AsyncIterator[bytes]:
    """A body without a declared length. Of one with it a proxy written in Go (Caddy, Traefik) looks for more after its
    end; on a busy machine it may do so only when the answer has begun, takes that for an error and cuts the answer off
    (golang/go#40747). What is tested here is not the proxy."""
    yield json.dumps(body).encode()


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
                await self.one("wait", http.post("/runs/wait", content=in_chunks(body), headers=JSON))

    async def reads(self) -> None:
        async with httpx.AsyncClient(base_url=self.url, timeout=60, trust_env=False) as http:
            while not self.stopped.is_set():
                await self.one("read", http.get("/info"))
                await asyncio.sleep(PAUSE)

    async def streams(self) -> None:
        async with httpx.AsyncClient(base_url=self.url, timeout=60, trust_env=False) as http:
            while not self.stopped.is_set():
                body = {
                    "assistant_id": "echo",
                    "input": {"text": "s", "seconds": 4},
                    "stream_mode": ["values", "custom"],
                }
                try:
                    sent = in_chunks(body)
                    async with http.stream("POST", "/runs/stream", content=sent, headers=JSON) as answer:
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
        if kind == "wait":
            try:
                self.prefixes.append((time.monotonic(), answer.json()["result"]))
            except (ValueError, KeyError):
                told = f"{answer.content[:200]!r} after {answer.elapsed}, {dict(answer.headers)}"
                self.failures.append(f"{kind} was answered {told}")
                return
        self.answers[kind] += 1


@asynccontextmanager
async def loaded(url: str) -> AsyncIterator[Load]:
    """Ten clients for as long as the body runs; what failed is told by `Load.failures` after."""
    load = Load(url)
    clients = (
        [load.waits() for _ in range(5)]
        + [load.reads() for _ in range(3)]
        + [load.streams() for _ in range(2)]
    )
    async with asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(client)
        try:
            yield load
        finally:
            load.stopped.set()
