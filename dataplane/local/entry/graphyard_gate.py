"""Who may take runs from the queue: the replicas of the revision that serves, and no others.

On one machine the plane says so by a marker file. On a cluster the deployment's own Service says it: whichever
revision answers there is the one that callers are led to, so runs follow the same truth, and nobody in a pod needs
to ask the cluster's API.
"""

import asyncio
import contextlib
import http.client
import importlib
import os
import threading
import time
from typing import Any, Protocol
from urllib.parse import urlsplit

REVISION = "x-graphyard-revision"
ASK_SECONDS = 1.0
ANSWER_SECONDS = 2.0


class Leave(Protocol):
    """Leave to take runs, and since when."""

    @property
    def given(self) -> bool: ...

    @property
    def seconds(self) -> float:
        """For how long it has been given; 0 while it is not."""


class Always:
    """For a server that is alone."""

    given = True
    seconds = float("inf")


class Marker:
    """Given while a file is there."""

    def __init__(self, path: str) -> None:
        self._path = path

    @property
    def given(self) -> bool:
        return os.path.exists(self._path)

    @property
    def seconds(self) -> float:
        with contextlib.suppress(OSError):
            return max(0.0, time.time() - os.stat(self._path).st_mtime)
        return 0.0


class Service:
    """Given while the deployment's Service leads to this revision. A thread asks, so that a busy server knows too;
    who gets no answer goes by the last one, and closed is how one begins."""

    def __init__(self, url: str, revision: str, every: float = ASK_SECONDS) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._revision = revision
        self._every = every
        self._since: float | None = None

    @property
    def given(self) -> bool:
        return self._since is not None

    @property
    def seconds(self) -> float:
        since = self._since
        return 0.0 if since is None else time.monotonic() - since

    def follow(self) -> None:
        """From now on, for as long as the process lives."""
        threading.Thread(target=self._follow, name="graphyard-gate", daemon=True).start()

    def look(self) -> None:
        """Ask once."""
        serving = self._serving()
        if serving is None:
            return
        if serving != self._revision:
            self._since = None
        elif self._since is None:
            self._since = time.monotonic()

    def _follow(self) -> None:
        while True:
            self.look()
            time.sleep(self._every)

    def _serving(self) -> str | None:
        # A connection of its own each time: one that is kept goes on leading to where it once led.
        connection = http.client.HTTPConnection(self._host, self._port, timeout=ANSWER_SECONDS)
        try:
            connection.request("GET", "/ok", headers={"Connection": "close"})
            return connection.getresponse().getheader(REVISION)
        except (OSError, ValueError, http.client.HTTPException):
            return None
        finally:
            connection.close()


def leave(marker: str | None, service: str | None, revision: str) -> Leave:
    """By whatever this server was told to go by."""
    if service:
        found = Service(service, revision)
        found.follow()
        return found
    return Marker(marker) if marker else Always()


class Gate:
    """Whether this replica may take runs from the queue."""

    def __init__(self, leave: Leave) -> None:
        self._leave = leave
        self.closing = False
        self.asked = self.taken = self._born = time.monotonic()
        """When the queue asked for runs last, and when it was last given one."""

    @property
    def open_for(self) -> float:
        """Seconds since when it could have run something."""
        return min(self._leave.seconds, time.monotonic() - self._born)

    @property
    def open(self) -> bool:
        return not self.closing and self._leave.given


def gate_runs(edition: str, gate: Gate) -> None:
    """Put the gate before the runtime's own taking of runs; its queue asks at least twice a second."""
    ops = importlib.import_module(f"langgraph_runtime_{edition}.ops")
    take = ops.Runs.next

    async def gated(*arguments: Any, **named: Any) -> Any:
        gate.asked = time.monotonic()
        if not gate.open:
            await asyncio.sleep(0.1)
            return
        async with contextlib.aclosing(take(*arguments, **named)) as runs:
            async for taken in runs:
                gate.taken = time.monotonic()
                yield taken
                if not gate.open:
                    return

    ops.Runs.next = staticmethod(gated)
