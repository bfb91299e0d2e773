"""What the servers of a plane say, brought to the records for as long as the plane's worker lives.

Nodes keep a log until its pod is deleted, so nothing is kept here: while the records take nothing, nothing more is
read, and what was not read is read later. What is lost is what a pod said that was deleted meanwhile, or what its
node rotated away. A worker that starts anew reads again what nodes have; the records know it.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import structlog

from dataplane.kubernetes import names
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.feed import Away, Changed, Feed, Listed
from dataplane.kubernetes.kinds import POD, Manifest
from dataplane.kubernetes.logs import standings
from dataplane.kubernetes.reader import Reader, Turns
from workflows.lines import MOST_BYTES, MOST_LINES, Line, Taken

log = structlog.get_logger()

MOST_READERS = 400
ROOM = 2 * MOST_LINES
AGAIN = 5.0


class Reports(Protocol):
    """Where lines go."""

    async def send(self, lines: Sequence[Line]) -> Taken:
        """Deliver lines; returns when they have arrived, however long that takes."""


class Shipper:
    """Reads the logs of one plane's servers; others' lines may be handed in."""

    def __init__(self, cluster: Cluster, reports: Reports, *, most: int = MOST_READERS) -> None:
        self._cluster = cluster
        self._reports = reports
        self._turns = Turns(most)
        self._lines: asyncio.Queue[Line] = asyncio.Queue(ROOM)
        self._readers: dict[tuple[str, str], Reader] = {}
        """By the pod's uid and the container's name."""

    async def put(self, lines: Sequence[Line]) -> None:
        """Have lines sent with the others; waits while there is no room."""
        for line in lines:
            await self._lines.put(line)

    async def run(self) -> None:
        """For the plane's lifetime; whatever happens to one log, the others go on."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._send())
            away = False
            feed = Feed(self._cluster, POD, {**names.mine(self._cluster.plane), names.ROLE: "server"})
            async for heard in feed.heard():
                match heard:
                    case Listed():
                        for pod in heard.objects:
                            self._see(pod, tasks)
                        self._leave({pod["metadata"]["uid"] for pod in heard.objects})
                    case Changed(gone=True):
                        self._forget(heard.object["metadata"]["uid"])
                    case Changed():
                        self._see(heard.object, tasks)
                    case Away() if not away:
                        for reader in self._readers.values():
                            reader.doubt()
                away = isinstance(heard, Away)

    def _see(self, pod: Manifest, tasks: asyncio.TaskGroup) -> None:
        for container, standing in standings(pod).items():
            key = pod["metadata"]["uid"], container
            if key in self._readers:
                self._readers[key].see(standing)
            else:
                reader = self._readers[key] = Reader(self._cluster, self._turns, self.put, standing)
                tasks.create_task(_read(reader), name=f"log of {pod['metadata']['name']}/{container}")

    def _leave(self, there: set[str]) -> None:
        for uid in {uid for uid, _ in self._readers} - there:
            self._forget(uid)

    def _forget(self, uid: str) -> None:
        for key in [key for key in self._readers if key[0] == uid]:
            self._readers.pop(key).leave()

    async def _send(self) -> None:
        held: Line | None = None
        while True:
            batch = [held or await self._lines.get()]
            held, size = None, len(batch[0].message)
            while len(batch) < MOST_LINES and not self._lines.empty():
                line = self._lines.get_nowait()
                size += len(line.message)
                if size > MOST_BYTES:
                    held = line
                    break
                batch.append(line)
            await self._deliver(batch)

    async def _deliver(self, batch: list[Line]) -> None:
        while True:
            try:
                taken = await self._reports.send(batch)
            except Exception:
                log.exception("log lines are sent again")
                await asyncio.sleep(AGAIN)
            else:
                if taken.dropped:
                    log.info("log lines of nobody", dropped=taken.dropped, lines=len(batch))
                return


async def _read(reader: Reader) -> None:
    while True:
        try:
            return await reader.run()
        except Exception:
            log.exception("a log is read anew")
            await asyncio.sleep(AGAIN)
