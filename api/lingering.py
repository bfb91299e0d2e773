"""Requests are heard to their end before they are answered.

The gateway keeps no connection, so the server closes each one with its answer. A refusal is ready before a body was
read; the gateway would still be writing it, and tell its caller of a broken connection instead of the refusal. The
servers of deployments have the same in their entry, which can import nothing of ours.
"""

import asyncio
import contextlib
from collections import deque

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Lingering:
    """A middleware around whoever answers early. `most`: bytes that are waited for, and kept until the app wants them
    after all; at most for that many `seconds`."""

    def __init__(self, app: ASGIApp, most: int = 1 << 20, seconds: float = 2.0) -> None:
        self.app = app
        self.most = most
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope.get("headers", ()))
        carries = headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
        # One that waits for leave to send anything sends nothing.
        if scope["type"] != "http" or not carries or b"expect" in headers:
            await self.app(scope, receive, send)
            return
        kept: deque[Message] = deque()
        under_way = True

        async def next_part() -> Message:
            nonlocal under_way
            message = await receive()
            under_way = message["type"] == "http.request" and message.get("more_body", False)
            return message

        async def heard() -> Message:
            return kept.popleft() if kept else await next_part()

        async def said(message: Message) -> None:
            if message["type"] == "http.response.start" and under_way:
                size = 0
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self.seconds):
                        while under_way and size < self.most:
                            kept.append(await next_part())
                            size += len(kept[-1].get("body", b""))
            await send(message)

        await self.app(scope, heard, said)
