"""Which door a request came through, where there are two: callers reach all but `/internal`, planes nothing else.

Both are one server, so they begin and end together; the port on this side tells them apart, and nobody outside can
choose that. Health is answered at both; measures are for the house, so they are at the inner one alone.
"""

import socket

from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import answer

INTERNAL = "/internal"
METRICS = ("/metrics", "/api-host/metrics")
ANYWHERE = ("/health", "/ready")


class Doors:
    """A middleware that knows the port of the internal door; without one, that door is shut."""

    def __init__(self, app: ASGIApp, internal: int | None) -> None:
        self.app = app
        self.internal = internal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        port = (scope.get("server") or (None, None))[1]
        inside = self.internal is not None and port == self.internal
        path = scope["path"]
        meant = f"{path}/".startswith(f"{INTERNAL}/") or path in METRICS
        if inside is meant or path in ANYWHERE:
            await self.app(scope, receive, send)
        else:
            await answer(404, "There is nothing here.")(scope, receive, send)


def bound(listen: str) -> socket.socket:
    """A socket for `host:port`; without a host, for every address there is."""
    host, _, port = listen.rpartition(":")
    if not port.isdigit():
        raise ValueError(f"{listen!r} is no address to listen on; say host:port")
    host = host.strip("[]")
    both = not host and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both or ":" in host else socket.AF_INET
    return socket.create_server((host, int(port)), family=family, dualstack_ipv6=both, backlog=2048)
