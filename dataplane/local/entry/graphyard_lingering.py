"""Whoever answers early does so once the request was heard to its end."""

import asyncio
import contextlib
from collections import deque
from typing import Any


class Lingering:
    """An ASGI app around one that answers early: no answer begins before the request was heard to its end. The
    gateway keeps no connection, so this server closes each one with its answer; it would do so while the gateway
    still writes, who then tells its caller of a broken connection instead."""

    def __init__(self, app: Any, most: int = 1 << 20, seconds: float = 2.0) -> None:
        """`most`: bytes that are waited for, and kept until the app wants them after all; at most that long."""
        self._app = app
        self._most = most
        self._seconds = seconds

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope.get("headers", ()))
        carries = headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
        # One that waits for leave to send anything sends nothing.
        if scope["type"] != "http" or not carries or b"expect" in headers:
            await self._app(scope, receive, send)
            return
        kept: deque[Any] = deque()
        under_way = True

        async def next_part() -> Any:
            nonlocal under_way
            message = await receive()
            under_way = message["type"] == "http.request" and message.get("more_body", False)
            return message

        async def heard() -> Any:
            return kept.popleft() if kept else await next_part()

        async def said(message: Any) -> None:
            if message["type"] == "http.response.start" and under_way:
                size = 0
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._seconds):
                        while under_way and size < self._most:
                            kept.append(await next_part())
                            size += len(kept[-1].get("body", b""))
            await send(message)

        await self._app(scope, heard, said)
