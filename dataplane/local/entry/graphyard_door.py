"""What stands before the server's own app: which revision answers is said in every answer, and the plane's questions
are answered to nobody else.

Probe: graphs and schemas answer without the project's own auth. Pulse: whether runs leave the queue. Both want the
plane's token, and neither is to be had through a door: what came by a proxy is a caller's, whatever it shows.
"""

import asyncio
import json
import os
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from .graphyard_pulse import Pulse

OURS = "/graphyard"
PROBE, PULSE = f"{OURS}/probe", f"{OURS}/pulse"
TOKEN_HEADER = b"x-graphyard-probe"
REVISION_HEADER = b"x-graphyard-revision"
PASSED = frozenset({b"forwarded", b"via", b"x-real-ip"})
"""What proxies put into requests besides `X-Forwarded-*`."""


class Door:
    """The ASGI app around the server's: takes callers' prefix away, names the revision in every answer, and answers
    the plane's questions."""

    def __init__(self, app: Any, revision: str, token: str, pulse: Pulse, prefix: str = "") -> None:
        self._app = app
        self._prefix = prefix.rstrip("/")
        self._questions = {PROBE: self._probe, PULSE: pulse.take}
        self._revision = revision.encode()
        self._token = token.encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        below, (scope, outside) = scope["path"], self._inside(scope)
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if outside and _is_ours(scope["path"]):
            await self._answer(send, {"detail": "Not Found"}, status=404)
            return
        asked = self._questions.get(scope["path"])
        if asked and self._token and dict(scope["headers"]).get(TOKEN_HEADER) == self._token:
            await self._answer(send, await asked())
            return

        prefix = self._prefix if scope["path"] != below else ""
        host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")

        async def named(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), (REVISION_HEADER, self._revision)]
                message = {**message, "headers": [_led(one, prefix, host) for one in headers]}
            await send(message)

        await self._app(scope, receive, named)

    def _inside(self, scope: Any) -> tuple[Any, bool]:
        """The request as the server sees it, and whether it came through a door: proxies say what they did."""
        path, raw = scope["path"], scope.get("raw_path") or b""
        passed = any(name.startswith(b"x-forwarded-") or name in PASSED for name, _ in scope["headers"])
        if not self._prefix or not (path == self._prefix or path.startswith(f"{self._prefix}/")):
            return scope, passed
        ahead = self._prefix.encode()
        raw = raw[len(ahead) :] if raw.startswith(ahead) else raw
        return {**scope, "path": path[len(self._prefix) :] or "/", "raw_path": raw or b"/"}, True

    async def _answer(self, send: Any, told: Any, status: int = 200) -> None:
        body = json.dumps(told).encode()
        # With its length, else it comes in chunks, also to callers that speak HTTP/1.0.
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (REVISION_HEADER, self._revision),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _probe(self) -> dict[str, Any]:
        """What each declared graph answers when asked for its schemas; `error` is empty for one that does."""
        import httpx

        graphs = list(json.loads(os.environ.get("LANGSERVE_GRAPHS") or "{}"))
        # The server's own name for requests from inside its process: the project's auth does not see them.
        transport = httpx.ASGITransport(self._app, root_path="/noauth")
        async with httpx.AsyncClient(transport=transport, base_url="http://probe", timeout=60) as client:
            errors = await asyncio.gather(*(self._ask(client, graph) for graph in graphs))
        return {"revision": self._revision.decode(), "graphs": dict(zip(graphs, errors, strict=True))}

    async def _ask(self, client: Any, graph: str) -> str:
        try:
            found = await client.post("/assistants/search", json={"graph_id": graph, "limit": 1})
            if found.status_code in (401, 403, 404, 405):
                return self._loaded(graph)
            if found.status_code != 200:
                return f"its assistant answers {found.status_code}: {found.text[:300]}"
            if not found.json():
                return "it has no assistant"
            schemas = await client.get(f"/assistants/{found.json()[0]['assistant_id']}/schemas")
            if schemas.status_code != 200:
                return f"its schemas answer {schemas.status_code}: {schemas.text[:300]}"
        except Exception as error:
            return f"{type(error).__name__}: {str(error)[:300]}"
        return ""

    def _loaded(self, graph: str) -> str:
        """For projects that switched these routes off or put a door of their own before them."""
        from langgraph_api.graph import GRAPHS

        return "" if graph in GRAPHS else "it was not loaded"


def _led(header: tuple[bytes, bytes], prefix: str, host: str) -> tuple[bytes, bytes]:
    """A redirection to a place of this server, as the caller's who came below the prefix; without scheme and host,
    which a proxy may have changed."""
    name, value = header
    if not prefix or name.lower() != b"location":
        return header
    parts = urlsplit(value.decode("latin-1"))
    elsewhere = parts.netloc not in ("", host) or not parts.path.startswith("/")
    if elsewhere or parts.path == prefix or parts.path.startswith(f"{prefix}/"):
        return header
    led = urlunsplit(("", "", f"{prefix}{parts.path}", parts.query, parts.fragment))
    return name, led.encode("latin-1")


def _is_ours(path: str) -> bool:
    return path == OURS or path.startswith(f"{OURS}/")
