"""Deployments of a cluster that changed, though we did nothing to them: told as soon as the API tells us.

Every kind that we write is followed, so an idle plane costs a few requests a minute however many deployments it
has. What was known last is kept in the cluster itself, so that a watch that starts anew tells first what happened
in between. Postgres is not of the cluster: its catalogs are asked every second or so.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Protocol
from uuid import UUID

import structlog

from dataplane.kubernetes import names
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.feed import ANEW, Away, Feed, Heard, Listed
from dataplane.kubernetes.kinds import (
    CNPG_CLUSTER,
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    HTTP_ROUTE,
    INGRESS,
    NETWORK_POLICY,
    POD,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
    STATEFUL_SET,
    VOLUME_CLAIM,
    Kind,
)
from dataplane.kubernetes.known import Known
from dataplane.kubernetes.traces import CONTROLLERS, Trace, better, news
from dataplane.local.flapping import Flapping
from dataplane.local.pace import Pace

log = structlog.get_logger()

WATCHED = (
    DEPLOYMENT,
    POD,
    SERVICE,
    SECRET,
    INGRESS,
    HTTP_ROUTE,
    STATEFUL_SET,
    VOLUME_CLAIM,
    NETWORK_POLICY,
    DISRUPTION_BUDGET,
    SERVICE_ACCOUNT,
    CNPG_CLUSTER,
)
LIFE = 1.0
"""Seconds of nothing to tell after which an empty set says that the watch goes on."""
LATE = 0.3
"""Seconds by which the API may tell a change later than it happened."""
SAVE = 15.0
UNEASY = 600.0
"""Seconds for which one that was told of is told of again when it is well."""
SHARE = 0.02
"""Of one core that asking Postgres may take."""
CATALOG = "catalog"


class Marks(Protocol):
    """What is being done to deployments by ourselves."""

    def covers(self, deployment_id: UUID, first: float, last: float) -> bool:
        """Whether what changed some time between these two moments (since 1970) may be our doing."""


class Catalogue(Protocol):
    """The part of Postgres that the watch asks."""

    async def listed(self) -> dict[str, str]: ...

    async def look_inside(self) -> None: ...


class Memory(Protocol):
    """What was known last, by the eight digits: whose it is, and a text that changes with it."""

    async def load(self) -> dict[str, tuple[UUID, str]] | None: ...

    async def save(self, known: Mapping[str, tuple[UUID, str]]) -> None: ...


class Watch:
    """The watch over one plane. One listener at a time; what is known outlives a listener."""

    def __init__(
        self,
        cluster: Cluster,
        ours: Marks,
        *,
        catalogue: Catalogue | None = None,
        memory: Memory | None = None,
        anew: float = ANEW,
    ) -> None:
        self._cluster = cluster
        self._ours = ours
        self._catalogue = catalogue
        self._memory = memory
        self._anew = anew
        self._known = Known()
        self._listed: dict[str, str] | None = None
        self._heard: dict[str, float] = {}
        """When each kind was last known to be as it is known."""
        self._due: dict[UUID, str] = {}
        self._uneasy: dict[str, float] = {}
        self._flapping = Flapping()
        self._stirred = asyncio.Event()
        self._unlisted: set[str] = set()
        self._begun = False
        self._dirty = False
        self._saved = 0.0

    async def changes(self) -> AsyncGenerator[set[UUID], None]:
        """Deployments that changed and not by our doing. A set counts as told once the next is asked for."""
        tasks: list[asyncio.Task[None]] = []
        try:
            while not tasks:
                try:
                    tasks = await self._begin()
                except Exception as error:  # the API is away: told by whoever asks it for something
                    log.warning("the watch cannot begin", error=type(error).__name__)
                    await asyncio.sleep(LIFE)
                    yield set()
            spoke = 0.0
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LIFE / 2):
                        await self._stirred.wait()
                self._stirred.clear()
                for task in tasks:
                    if task.done():
                        task.result()
                told = {owner for owner in self._due if self._flapping.may(owner.hex[:8])}
                if told or time.monotonic() - spoke >= LIFE:
                    spoke = time.monotonic()
                    why = {owner: self._due[owner] for owner in told}
                    yield told
                    self._settle(why)
                await self._keep()
        finally:
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)
            await self._keep(at_once=True)

    async def _begin(self) -> list[asyncio.Task[None]]:
        served = await self._cluster.served()
        kinds = [kind for kind in WATCHED if served.has(kind)]
        self._unlisted = {kind.name for kind in kinds}
        tasks = [asyncio.create_task(self._follow(kind), name=f"watch {kind.plural}") for kind in kinds]
        if self._catalogue is not None:
            tasks.append(asyncio.create_task(self._ask(self._catalogue), name="watch the catalogs"))
            self._unlisted.add(CATALOG)
        return tasks

    def _settle(self, told: Mapping[UUID, str]) -> None:
        for owner, why in told.items():
            short = owner.hex[:8]
            self._flapping.told(short)
            self._uneasy[short] = time.monotonic()
            if self._due.get(owner) == why:
                del self._due[owner]

    # -- what the cluster tells ----------------------------------------------------

    async def _follow(self, kind: Kind) -> None:
        feed = Feed(self._cluster, kind, anew=self._anew)
        async with contextlib.aclosing(feed.heard()) as words:
            async for heard in words:
                self._hear(kind.name, heard)
                # A kind that we may not see is none of ours.
                seen = isinstance(heard, Listed) or (isinstance(heard, Away) and heard.forbidden)
                if seen and kind.name in self._unlisted:
                    await self._complete(kind.name)

    def _hear(self, kind: str, heard: Heard) -> None:
        if isinstance(heard, Away):
            return
        now = time.time()
        since = self._heard.get(kind, now) if isinstance(heard, Listed) else now
        self._heard[kind] = now
        for before, after in self._known.take(kind, heard):
            self._dirty = True
            self._judge(before, after, since)

    def _judge(self, before: Trace | None, after: Trace | None, since: float) -> None:
        one = after or before
        assert one is not None
        owner, why = self._known.owners.get(one.short), news(before, after)
        if one.life is not None and not self._known.wanted(one):
            return
        if why is None and better(before, after) and self._was_told_of(one.short):
            why = f"Pod {one.name} takes requests again"
        if owner is None or why is None or not self._begun:
            return
        if not self._by_us(owner, after, since):
            self._tell(owner, why)

    def _by_us(self, owner: UUID, after: Trace | None, since: float) -> bool:
        """An object tells by whom it was changed; who deleted it, or what befell a pod, only the time can tell."""
        if after is not None and after.manager and not after.ending:
            return after.manager in (names.MANAGER, *CONTROLLERS)
        return self._ours.covers(owner, since - LATE, time.time())

    def _was_told_of(self, short: str) -> bool:
        """Whether somebody may wait to hear that it is well again; asked once."""
        return time.monotonic() - self._uneasy.pop(short, -UNEASY) < UNEASY

    def _tell(self, owner: UUID, why: str) -> None:
        log.info("changed, and not by us", deployment=str(owner), why=why)
        self._due[owner] = why
        self._stirred.set()

    # -- what Postgres tells -------------------------------------------------------

    async def _ask(self, catalogue: Catalogue) -> None:
        asking, entering = Pace(SHARE, period=LIFE), Pace(SHARE / 2)
        failing = False
        while True:
            began, at = time.monotonic(), time.time()
            try:
                if entering.due:
                    await catalogue.look_inside()
                    entering.spent(min(0.2, time.monotonic() - began))
                began = time.monotonic()
                found = await catalogue.listed()
            except Exception as error:  # away or restarting: that is no deployment's difference
                if not failing:
                    log.warning("the watch cannot ask Postgres", error=type(error).__name__)
                failing = True
            else:
                failing = False
                asking.spent(min(0.2, time.monotonic() - began))
                self._compare(found, at)
            if CATALOG in self._unlisted:
                await self._complete(CATALOG)
            await asyncio.sleep(LIFE if failing else asking.left)

    def _compare(self, found: dict[str, str], at: float) -> None:
        known, self._listed = self._listed, found
        since = self._heard.get(CATALOG, at)
        self._heard[CATALOG] = at
        if known is None or not self._begun:
            return
        for short in known.keys() | found.keys():
            owner = self._known.owners.get(short)
            if known.get(short) == found.get(short) or owner is None:
                continue
            self._dirty = True
            if not self._ours.covers(owner, since, time.time()):
                self._tell(owner, "its database changed")

    # -- what was known before -----------------------------------------------------

    async def _complete(self, part: str) -> None:
        """All parts listed for the first time: only now it can be told what happened while nobody watched."""
        self._unlisted.discard(part)
        if self._unlisted or self._begun:
            return
        now = self._known.marks(self._listed or {})
        before = await self._memory.load() if self._memory is not None else None
        self._begun = True
        if before is None:
            # Nobody remembers anything: everything is worth a look.
            before = {short: (owner, "") for short, (owner, _) in now.items()}
        at = time.time()
        for short, (owner, mark) in before.items():
            if (now[short][1] if short in now else "") != mark:
                self._known.owners.setdefault(short, owner)
                # What this worker is doing itself at the moment of its first look is nobody's news.
                if not self._ours.covers(owner, at, at):
                    self._tell(owner, "changed while nobody watched")
        self._dirty = True

    async def _keep(self, *, at_once: bool = False) -> None:
        if self._memory is None or not self._dirty or not self._begun or self._due:
            return
        marks = self._known.marks(self._listed or {})
        if not at_once and marks and time.monotonic() - self._saved < SAVE:
            return
        self._saved, self._dirty = time.monotonic(), False
        try:
            await self._memory.save(marks)
        except Exception as error:  # at worst something is told twice
            self._dirty = True
            log.warning("the watch cannot keep what it saw", error=type(error).__name__)
