"""One kind of objects, followed for as long as somebody listens: all there are, then whatever becomes of them.

A watch that the API server ends is taken up where it was; one that broke is taken up after a pause, and where it
cannot be, everything is listed anew. It is listed anew every few minutes even so: a connection may be dead for
long before anybody notices, and so may be what was missed on it.
"""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass

import structlog

from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.kinds import Kind, Manifest
from dataplane.kubernetes.trouble import Gone

log = structlog.get_logger()

ANEW = 300.0
"""Seconds after which everything is listed again."""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 15.0
FORBIDDEN = 403
SHORT = 1.0
"""A watch that ends sooner was refused in all but name."""


@dataclass(frozen=True)
class Listed:
    """All there are now; what is not among them is gone."""

    objects: list[Manifest]


@dataclass(frozen=True)
class Changed:
    """One that was made or changed, or with `gone` as it was last."""

    object: Manifest
    gone: bool = False


@dataclass(frozen=True)
class Away:
    """The API cannot be asked at the moment."""

    why: str
    forbidden: bool = False


Heard = Listed | Changed | Away


class Feed:
    """One kind in one namespace, by labels (of ours unless they say otherwise)."""

    def __init__(
        self,
        cluster: Cluster,
        kind: Kind,
        labels: Mapping[str, str] | None = None,
        namespace: str | None = None,
        *,
        anew: float = ANEW,
    ) -> None:
        self._cluster = cluster
        self._kind = kind
        self._labels = labels
        self._namespace = namespace
        self._anew = anew
        self._version = ""
        self._due = 0.0
        self._pause = FIRST_PAUSE
        self._away = False

    async def heard(self) -> AsyncGenerator[Heard, None]:
        """For ever; it ends with its listener only."""
        self._version = ""
        while True:
            try:
                if not self._version or time.monotonic() >= self._due:
                    yield await self._list()
                began = time.monotonic()
                async with aclosing(self._changes()) as changes:
                    async for changed in changes:
                        yield changed
                if time.monotonic() - began < SHORT:
                    await self._rest()
            except Gone:
                self._version = ""
                await self._rest()
            except Exception as error:  # whatever broke it, it is taken up again
                if not self._away:
                    log.warning("a watch broke", kind=self._kind.name, error=_brief(error))
                self._away = True
                yield Away(_brief(error), getattr(error, "status", 0) == FORBIDDEN)
                await self._rest()

    async def _list(self) -> Listed:
        objects, self._version = await self._cluster.version_of(self._kind, self._labels, self._namespace)
        # Not all kinds at once, for ever after.
        self._due = time.monotonic() + self._anew * random.uniform(0.8, 1.0)  # noqa: S311 - jitter
        self._pause = FIRST_PAUSE
        self._back()
        return Listed(objects)

    async def _changes(self) -> AsyncGenerator[Changed, None]:
        events = self._cluster.events(self._kind, self._labels, self._namespace, since=self._version)
        try:
            while (left := self._due - time.monotonic()) > 0:
                try:
                    async with asyncio.timeout(left):
                        what, found = await anext(events)
                except (StopAsyncIteration, TimeoutError):
                    return
                self._version = found["metadata"]["resourceVersion"]
                self._pause = FIRST_PAUSE
                self._back()
                if what != "BOOKMARK":
                    yield Changed(found, gone=what == "DELETED")
        finally:
            if isinstance(events, AsyncGenerator):
                await events.aclose()

    def _back(self) -> None:
        if self._away:
            log.info("a watch goes on", kind=self._kind.name)
        self._away = False

    async def _rest(self) -> None:
        await asyncio.sleep(self._pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
        self._pause = min(self._pause * 2, LONGEST_PAUSE)


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]
