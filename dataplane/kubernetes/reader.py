"""One container's log, read from its first line to its last, through restarts, broken streams and nodes that
cannot say it at the moment.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import structlog

from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.logs import Life, Standing, Transcript
from dataplane.kubernetes.trouble import Trouble
from workflows.lines import Line

log = structlog.get_logger()

Deliver = Callable[[Sequence[Line]], Awaitable[None]]

MOST_LINES = 20_000
"""Of a log that was never read; what is older is in the records, or its node has rotated it away by now."""
PORTION = 200
UNFINISHED = 0.5
"""Seconds of silence after which an entry is taken as it stands."""
QUIET = 5.0
"""Seconds of silence after which a turn is given up to those who wait for one."""
SOON = 1.0
"""How much later than the end of its log the end of a container may be heard of."""
FIRST_PAUSE, LONGEST_PAUSE = 0.3, 15.0
LAST_TRIES = 4
"""For the end of a life that is over; with pauses that double, some four seconds."""
GONE = 404


class Turns:
    """How many logs are followed at once. Each holds a connection open, here and on a node."""

    def __init__(self, most: int) -> None:
        self._free = asyncio.Semaphore(most)
        self._waiting = 0

    async def __aenter__(self) -> None:
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1

    async def __aexit__(self, *_: object) -> None:
        self._free.release()

    @property
    def wanted(self) -> bool:
        """Whether somebody waits."""
        return self._waiting > 0


class Reader:
    """Reads one container of one pod for as long as the pod is there."""

    def __init__(self, cluster: Cluster, turns: Turns, deliver: Deliver, standing: Standing) -> None:
        self._cluster = cluster
        self._turns = turns
        self._deliver = deliver
        self._standing = standing
        self._transcript = Transcript(standing.life)
        self._moved = asyncio.Event()
        self._gone = False
        self._whole = False
        """Whether the life that is read has ended and was read to its end."""
        self._doubted = False
        self._pause = FIRST_PAUSE

    def see(self, standing: Standing) -> None:
        """How the container is now."""
        if standing != self._standing:
            self._standing = standing
            self._pause = FIRST_PAUSE
            self._moved.set()

    def leave(self) -> None:
        """The pod is gone: what can be read still is read, no more."""
        self._gone = True
        self._moved.set()

    def doubt(self) -> None:
        """The API was away: what it sent us may be a connection that nobody holds any more."""
        self._doubted = True

    async def run(self) -> None:
        """Until the pod is gone."""
        if (restart := self._standing.life.restart) > 0:
            await self._last_of(_life(self._standing.life, restart - 1))
        while True:
            self._moved.clear()
            now, then = self._standing, self._transcript
            if now.life.restart > then.life.restart:
                if not self._whole:
                    await self._finish(then)
                self._transcript, self._whole = Transcript(now.life), False
            elif self._gone and (self._whole or not now.begun):
                return
            elif self._whole or not now.begun:
                await self._moved.wait()
            elif not await self._follow(now):
                return

    async def _follow(self, now: Standing) -> bool:
        """Read on as far as it goes; False if there is nothing to read from any more."""
        before = self._transcript.read
        told = True
        try:
            async with self._turns:
                told = await self._read(self._transcript, follow=not now.ended)
        except Trouble as trouble:
            if trouble.status == GONE:
                return False
            told = False
        except Exception as error:  # a stream broke, the API is away: all the same here
            log.debug("a log's stream broke", pod=now.life.pod, error=type(error).__name__)
            told = False
        if self._gone:
            return False
        if self._transcript.read > before:
            self._pause = FIRST_PAUSE
        if told and now.ended and self._standing == now:
            self._whole = True
        elif not now.ended and self._standing == now:
            # Its end shows in its log first; what did not end is read on, the less often the less it says.
            await self._rest(max(self._pause, SOON if told else 0))
        elif not told:
            await self._rest(self._pause)
        return True

    async def _rest(self, seconds: float) -> None:
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._moved.wait()

    async def _last_of(self, life: Life) -> None:
        """What a life said that ended before anybody read it."""
        await self._finish(Transcript(life))

    async def _finish(self, transcript: Transcript) -> None:
        """The rest of the life before the present one. A node keeps no more than that one, and may not have
        it any more; or only cannot say it at the moment, being busy with the next one."""
        for attempt in range(LAST_TRIES):
            try:
                async with self._turns:
                    if await self._read(transcript, previous=True):
                        return
            except Exception as error:  # it is gone with its node, or the API is away
                log.debug(
                    "a log's rest is not to be had", pod=transcript.life.pod, error=type(error).__name__
                )
            await asyncio.sleep(FIRST_PAUSE * 2**attempt)

    async def _read(self, transcript: Transcript, *, follow: bool = False, previous: bool = False) -> bool:
        """Whether what was handed out was its log, and not a node's sentence about it."""
        since, life = transcript.again(), transcript.life
        transcript.sentence, self._doubted = "", False
        async with self._cluster.log(
            life.pod,
            life.container,
            previous=previous,
            follow=follow,
            tail=MOST_LINES if since is None else None,
            since=since,
        ) as said:
            await self._portions(transcript, said)
        if transcript.sentence:
            log.info("a node says no log", pod=life.pod, said=transcript.sentence[:200])
        return not transcript.sentence

    async def _portions(self, transcript: Transcript, said: AsyncIterator[bytes]) -> None:
        lines: list[Line] = []
        coming = asyncio.ensure_future(_next(said))
        try:
            while True:
                waits = UNFINISHED if lines or transcript.open else QUIET
                if not coming.done():
                    if lines and not transcript.open:
                        await self._deliver(lines)
                        lines = []
                    await asyncio.wait([coming], timeout=waits)
                if not coming.done():
                    lines += transcript.flush()
                    if waits == QUIET and (self._gone or self._doubted or self._turns.wanted):
                        return
                    continue
                raw = coming.result()
                if raw is None:
                    return
                lines += transcript.feed(raw)
                coming = asyncio.ensure_future(_next(said))
                if len(lines) >= PORTION:
                    await self._deliver(lines)
                    lines = []
                elif not coming.done():
                    # What is buffered is taken at one go.
                    await asyncio.sleep(0)
        finally:
            coming.cancel()
            await asyncio.wait([coming])
            if said_last := [*lines, *transcript.flush()]:
                await self._deliver(said_last)


async def _next(said: AsyncIterator[bytes]) -> bytes | None:
    return await anext(said, None)


def _life(life: Life, restart: int) -> Life:
    return Life(life.deployment, life.number, life.pod, life.container, restart)
