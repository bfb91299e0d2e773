"""What there is of a few kinds, kept true by watches while somebody waits for it to become something: however long a
wait takes, each kind is asked for once.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Self

from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.feed import FORBIDDEN, Away, Feed, Heard, Listed
from dataplane.kubernetes.kinds import Kind, Manifest
from dataplane.kubernetes.trouble import Trouble

AWAY = 503


class Following:
    """All objects of these kinds with these labels. Enter it: from then on it holds all of them. Raises `Trouble` if
    it cannot be entered, and later when it may not look any more."""

    def __init__(
        self, cluster: Cluster, kinds: Sequence[Kind], labels: Mapping[str, str], namespace: str | None = None
    ) -> None:
        self._feeds = {kind.name: Feed(cluster, kind, labels, namespace) for kind in kinds}
        self._objects: dict[str, dict[str, Manifest]] = {}
        self._refused: Trouble | None = None
        self.breaks = 0
        """How often the API could not be asked: while it cannot, that nothing moves says nothing."""
        self._stirred = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._follow(name, feed)) for name, feed in self._feeds.items()]
        try:
            while self._objects.keys() != self._feeds.keys() and not self.breaks:
                await self._stirred.wait()
                self._stirred.clear()
        except BaseException:
            await self._end()
            raise
        if self.breaks:
            await self._end()
            raise self._refused or Trouble(AWAY, "its objects cannot be listed")
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._end()

    def of(self, kind: Kind) -> list[Manifest]:
        """All there are of a kind."""
        return list(self._objects[kind.name].values())

    def named(self, kind: Kind, name: str) -> Manifest | None:
        """One by its name."""
        return self._objects[kind.name].get(name)

    async def moved(self, patience: float) -> None:
        """Until something changed, or this many seconds are over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._stirred.wait()
        self._stirred.clear()
        if self._refused is not None:
            raise self._refused

    async def _follow(self, kind: str, feed: Feed) -> None:
        async with contextlib.aclosing(feed.heard()) as words:
            async for heard in words:
                self._take(kind, heard)
                self._stirred.set()

    def _take(self, kind: str, heard: Heard) -> None:
        if isinstance(heard, Away):
            self.breaks += 1
            if heard.forbidden:
                self._refused = Trouble(FORBIDDEN, heard.why)
        elif isinstance(heard, Listed):
            self._objects[kind] = {one["metadata"]["name"]: one for one in heard.objects}
        elif heard.gone:
            self._objects[kind].pop(heard.object["metadata"]["name"], None)
        else:
            self._objects[kind][heard.object["metadata"]["name"]] = heard.object

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
