"""Every request is counted, timed and answered, whatever happens inside: the outermost layer of the app."""

from time import perf_counter
from uuid import uuid4

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.meters import Meters
from api.problems import failure, traced

ANONYMOUS = frozenset({"/health", "/ready", "/metrics"})
log = structlog.get_logger()


class BrokenOff(Exception):
    """An answer that cannot be finished; it ends the connection, so that no part passes for the whole."""


class Traffic:
    """A middleware that knows the route a request took. Queries and headers may be secret: not logged."""

    def __init__(self, app: ASGIApp, meters: Meters) -> None:
        self.app = app
        self.meters = meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, code, first = perf_counter(), 0, 0.0
        request_id = uuid4().hex[:12]

        async def watched(message: Message) -> None:
            nonlocal code, first
            if message["type"] == "http.response.start":
                code, first = message["status"], perf_counter() - started
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
            await send(message)

        with structlog.contextvars.bound_contextvars(request=request_id):
            try:
                await self.app(scope, receive, watched)
            except Exception as error:
                if code:
                    log.error("answer broken off", path=scope["path"], **traced(error))  # noqa: TRY400
                    raise BrokenOff from None
                await failure(error, scope["path"])(scope, receive, watched)
            finally:
                self._count(scope, code, first)

    def _count(self, scope: Scope, code: int, first: float) -> None:
        route = getattr(scope.get("route"), "path", "unknown")
        method = scope["method"] if scope["method"] in {"GET", "POST", "PUT", "PATCH", "DELETE"} else "other"
        self.meters.requests.labels(method, route, str(code or "aborted")).inc()
        self.meters.latency.labels(method, route).observe(first)
        if route not in ANONYMOUS:
            log.info(
                "answered", method=method, path=scope["path"], status=code, took_ms=round(first * 1000, 1)
            )
