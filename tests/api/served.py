"""The same api behind a real socket, for what only shows there: streams, uploads that break off, clients."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from socket import AF_INET, SOCK_STREAM, socket

import uvicorn
from fastapi import FastAPI

from api.main import Door, create_app
from api.parts import Parts
from settings import Settings


@dataclass(frozen=True)
class Served:
    """An api on a loopback port."""

    app: FastAPI
    url: str
    port: int

    @property
    def parts(self) -> Parts:
        parts: Parts = self.app.state.parts
        return parts


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[Served]:
    """Serve for the length of the block, the way `serve` does, but on a port."""
    door = socket(AF_INET, SOCK_STREAM)
    door.bind(("127.0.0.1", 0))
    port = door.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    app = create_app(settings.model_copy(update={"public_url": url}))
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=5)
    server = Door(config, app.state.closing)
    task = asyncio.create_task(server.serve(sockets=[door]))
    while not server.started:
        if task.done():
            task.result()
            raise AssertionError("the api ended before it served")
        await asyncio.sleep(0.01)
    try:
        yield Served(app, url, port)
    finally:
        app.state.closing.set()
        server.should_exit = True
        await task
        door.close()
