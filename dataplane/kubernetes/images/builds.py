"""Builds as Jobs: begun or found, followed to their end, taken away.

A Job has its revision's name, so whoever comes again finds what runs and listens from there on. Whoever is told to
stop takes it away; whoever merely dies leaves it to the next one.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import structlog

from dataplane.kubernetes import names
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.feed import Feed
from dataplane.kubernetes.images.buildlog import Record
from dataplane.kubernetes.images.ending import Broken, Made, begun, ended, hindrance, hopeless, over
from dataplane.kubernetes.images.order import KEY, STEPS, Order, job, labels, secret
from dataplane.kubernetes.kinds import JOB, POD, SECRET, Kind, Manifest
from dataplane.kubernetes.logs import spelled
from dataplane.kubernetes.site import Site
from dataplane.kubernetes.trouble import Trouble
from dataplane.plane import Tell
from workflows.causes import Cause, Refused
from workflows.lines import Line
from workflows.shapes import Wish

log = structlog.get_logger()

Lines = Callable[[Sequence[Line]], Awaitable[None]]
"""Where the lines of a build go."""
Address = Callable[[], Awaitable[str]]
"""A fresh address from which the source may be fetched once."""
LOOK = 10.0
"""So often it is looked at without any news."""
REMEMBERED = 400
PAUSE = 0.5
SILENCE = 30.0
"""After which a log that says nothing is opened anew."""


class Builds:
    """The builds of one plane."""

    def __init__(self, site: Site, cluster: Cluster, lines: Lines) -> None:
        self._site = site
        self._cluster = cluster
        self._lines = lines

    async def run(self, wish: Wish, order: Order, address: Address, tell: Tell) -> Made:
        """What comes of an order. The Job stays until `done`, for whoever has to come again in between."""
        try:
            made = await self._begin(wish, order, address)
            return await _Following(self._site, self._cluster, self._lines, wish, made, tell).to_the_end()
        except (Refused, Broken):
            await self.done(wish)
            raise
        except asyncio.CancelledError:
            await asyncio.shield(self.done(wish))
            raise

    async def done(self, wish: Wish) -> None:
        """Take the Job away, and with it its pod and its order."""
        name = names.build(wish)
        found = await self._cluster.get(JOB, name, self._site.build_namespace)
        if found is not None:
            self._cluster.check_ours(found)
            await self._cluster.delete(JOB, name, self._site.build_namespace)

    async def _begin(self, wish: Wish, order: Order, address: Address) -> Manifest:
        name, namespace = names.build(wish), self._site.build_namespace
        found = await self._cluster.get(JOB, name, namespace)
        if found is not None:
            self._cluster.check_ours(found)
            if found["metadata"].get("annotations", {}).get(KEY) != order.key:
                await self.done(wish)
                found = None
        made = found or await self._cluster.create(job(self._site, wish, order))
        if made is None:
            raise Broken("another build of that name is still there, or was begun at the same moment")
        held = await self._cluster.get(SECRET, name, namespace)
        if held is None or not _belongs(held, made):
            # The pod waits for it. Of two who come at once the last one's address counts, and either will do.
            await self._cluster.apply(secret(self._site, wish, order, await address(), made))
        return made


class _Following:
    """One Job on its way."""

    def __init__(
        self, site: Site, cluster: Cluster, lines: Lines, wish: Wish, made: Manifest, tell: Tell
    ) -> None:
        self._site = site
        self._cluster = cluster
        self._lines = lines
        self._wish = wish
        self._uid = made["metadata"]["uid"]
        self._tell = tell
        self._said: dict[str, deque[str]] = {step: deque(maxlen=REMEMBERED) for step in STEPS}
        self._records = {step: Record(wish, self._uid, step) for step in STEPS}
        self._read: set[str] = set()
        self._hindered: Cause | None = None

    async def to_the_end(self) -> Made:
        async with self._news() as changed:
            while True:
                changed.clear()
                job_, pod = await self._look()
                await self._listen(pod)
                if self._read_on(pod):
                    continue
                if pod is not None and hopeless(pod) and (cause := hindrance(pod)):
                    raise Refused(cause.code, cause.message, cause.fix)
                self._hindered = hindrance(pod)
                if self._hindered:
                    self._tell(self._hindered.message[:200])
                said = {step: list(lines) for step, lines in self._said.items()}
                found = ended(job_, pod, said, self._hindered, self._site.build_seconds)
                if found is not None:
                    return found
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), LOOK)

    async def _look(self) -> tuple[Manifest, Manifest | None]:
        namespace = self._site.build_namespace
        job_ = await self._cluster.get(JOB, names.build(self._wish), namespace)
        if job_ is None or job_["metadata"]["uid"] != self._uid:
            raise Broken("somebody took the build away")
        pods = await self._cluster.all(POD, labels(self._site, self._wish), namespace)
        return job_, next((one for one in pods if _belongs(one, job_)), None)

    def _read_on(self, pod: Manifest | None) -> bool:
        """Whether there is a log to be read right away."""
        following = [step for step in STEPS if step not in self._read]
        return bool(following and pod is not None and begun(pod, following[0]) and over(pod, following[0]))

    async def _listen(self, pod: Manifest | None) -> None:
        """Hear the first container that has not been heard to its end."""
        step = next((step for step in STEPS if step not in self._read), None)
        if pod is None or step is None or not begun(pod, step):
            return
        finished = over(pod, step)
        record = self._records[step]
        record.again()
        since = spelled(record.read) if record.read >= 0 else None
        loop = asyncio.get_running_loop()
        try:
            async with (
                asyncio.timeout(SILENCE) as patience,
                self._cluster.log(
                    pod["metadata"]["name"], step, self._site.build_namespace, follow=True, since=since
                ) as said,
            ):
                async for raw in said:
                    # Handing lines on may take as long as it takes.
                    patience.reschedule(None)
                    await self._hear(step, record, raw)
                    patience.reschedule(loop.time() + SILENCE)
        except TimeoutError:
            # It may have nothing to say, or its node is gone and nobody closes the connection: the Job knows.
            pass
        except (Trouble, Refused, OSError) as trouble:
            # Without its log a build is as good; what it came to is known from its end.
            log.info("a build cannot be heard", build=names.build(self._wish), why=str(trouble)[:200])
            await asyncio.sleep(PAUSE)
        if finished:
            self._read.add(step)

    async def _hear(self, step: str, record: Record, raw: bytes) -> None:
        heard = record.feed(raw)
        if heard is None:
            return
        text, line = heard
        self._said[step].append(text)
        if line is not None:
            await self._lines([line])
            self._tell(text.strip()[:200])

    @asynccontextmanager
    async def _news(self) -> AsyncIterator[asyncio.Event]:
        """An event that is set whenever the Job or its pod changed."""
        changed = asyncio.Event()

        async def watch(kind: Kind) -> None:
            wanted = labels(self._site, self._wish)
            async for _ in Feed(self._cluster, kind, wanted, self._site.build_namespace).heard():
                changed.set()

        tasks = [asyncio.create_task(watch(kind)) for kind in (JOB, POD)]
        try:
            yield changed
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


def _belongs(found: Manifest, owner: Manifest) -> bool:
    owners = found["metadata"].get("ownerReferences") or ()
    return any(one.get("uid") == owner["metadata"]["uid"] for one in owners)
