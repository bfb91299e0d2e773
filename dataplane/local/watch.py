"""Deployments of this machine that changed, though we did nothing to them: told within a second or two.

Several looks take signatures of what is there, each as often as it is cheap. What differs from what was last
told of, and falls into no time in which we were at work on that deployment, is news. What was told is kept on
disk, so that a watch that starts anew tells first what happened in between. A look that finds nobody to ask
(supervisord or Postgres away) compares nothing: that is not each deployment's difference.
"""

import asyncio
import contextlib
import json
import os
import re
import time
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Protocol
from uuid import UUID

import structlog

from dataplane.local.flapping import Flapping
from dataplane.local.look import Look, Taken
from dataplane.local.ours import Doing, Ours
from dataplane.local.pace import Pace
from dataplane.local.supervisor import Supervisor
from dataplane.local.traces import Signature, Traces, news
from dataplane.local.vitals import FINE, Processes, Pulses
from workflows import names

log = structlog.get_logger()

TICK = 0.5
LIFE = 2.0
"""Seconds of nothing to tell after which an empty set says that the watch goes on."""
SAVE = 1.0
SHARE = 0.02
"""Of one core that a single look may take."""
MOST = 0.2
"""Seconds that a question to Postgres counts for at most: on a busy machine most of it is waiting."""
FORMAT = 1
SHORT = re.compile(r"[0-9a-f]{8}")


class Catalogue(Protocol):
    """The part of Postgres that the watch asks."""

    async def listed(self) -> dict[str, str]: ...

    async def look_inside(self) -> None: ...


class Heartbeat(Protocol):
    """The part of Redis that the watch asks."""

    async def pulse(self, short: str) -> str: ...


class Watch:
    """The watch over one home."""

    def __init__(
        self,
        home: Path,
        supervisor: Supervisor,
        postgres: Catalogue,
        redis: Heartbeat,
        ours: Ours,
        *,
        stuck_seconds: float = 60,
        tick: float = TICK,
    ) -> None:
        self._file = home / "run" / "watched.json"
        self._ours = ours
        self._tick = tick
        self._postgres = postgres
        self._traces = Traces(home)
        self._stirred = asyncio.Event()
        self._processes = Processes(supervisor, self._stirred)
        self._pulses = Pulses(
            home,
            self._processes,
            self._stirred,
            redis.pulse,
            lambda: self._traces.tokens,
            stuck_seconds=stuck_seconds,
        )
        self._flapping = Flapping()
        self._reading, self._asking = Pace(SHARE), Pace(SHARE, period=2 * tick)
        self._entering = Pace(SHARE / 2)
        self._files = Look("files", self._look_at_files, news, self._traces.when)
        self._databases = Look("databases", self._look_at_databases, _any)
        self._looks = [
            self._files,
            Look("processes", self._processes.look, _any, self._processes.when),
            self._databases,
            Look("pulses", self._pulses.look, _worse, lasts=True),
        ]
        self._dirty = False
        self._saved = 0.0
        self.rounds = 0

    async def changes(self) -> AsyncGenerator[set[UUID], None]:
        """Deployments that changed and not by our doing. A set counts as told once the next is asked for."""
        await asyncio.to_thread(self._load)
        spoke = time.monotonic()
        try:
            while True:
                started = time.monotonic()
                self.rounds += 1
                told = await self._round()
                if told or time.monotonic() - spoke >= LIFE:
                    spoke = time.monotonic()
                    yield {self._traces.owners[short] for short in told}
                    self._settle(told)
                if self._dirty and time.monotonic() - self._saved >= SAVE:
                    await asyncio.to_thread(self._save)
                await self._rest(started)
        finally:
            self._processes.close()
            await self._pulses.close()
            if self._dirty:
                self._save()

    async def _rest(self, started: float) -> None:
        """Until the next tick is due, or a process ended or answers otherwise than before; a moment even so."""
        await asyncio.sleep(self._tick / 10)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stirred.wait(), self._tick - (time.monotonic() - started))
        self._stirred.clear()

    async def _round(self) -> dict[str, list[tuple[Look, Signature]]]:
        """Every look whose time has come; what to tell, with what it is about."""
        since = {look.name: await look.look() for look in self._looks}
        # After the looks: whatever we did to change what they show was marked before it was done.
        doing = await asyncio.to_thread(self._ours.look)
        for deployment_id in doing.spans:
            self._own(deployment_id)
        told: dict[str, list[tuple[Look, Signature]]] = {}
        for look in self._looks:
            moment = since.get(look.name)
            if moment is None or look.known is None:
                continue
            look.pending = False
            for short in look.found.keys() | look.known.keys():
                before, after = look.known.get(short, {}), look.found.get(short, {})
                if before == after:
                    continue
                if self._strange(look, short, moment, doing):
                    told.setdefault(short, []).append((look, after))
                look.pending |= look.known.get(short, {}) != after
        return told

    def _strange(self, look: Look, short: str, moment: float, doing: Doing) -> bool:
        """Whether to tell of it now."""
        assert look.known is not None
        before, after = look.known.get(short, {}), look.found.get(short, {})
        things, owner = look.news(before, after), self._traces.owners.get(short)
        if not things:
            self._know(look, short, after)
            return False
        if owner is None:
            return False
        strange = [thing for thing in things if not self._ours_did(look, thing, owner, moment, doing)]
        if not strange and not look.lasts:
            self._know(look, short, after)
        if not strange or not self._flapping.may(short):
            return False
        log.info("changed, and not by us", deployment=str(owner), look=look.name, things=strange[:5])
        return True

    def _ours_did(self, look: Look, thing: str, owner: UUID, moment: float, doing: Doing) -> bool:
        now = time.time()
        if look.lasts:
            return doing.covers(owner, now, now)
        first, last = look.when(thing) or (moment, now)
        return doing.covers(owner, min(first, now), min(last, now))

    def _settle(self, told: Mapping[str, list[tuple[Look, Signature]]]) -> None:
        for short, changed in told.items():
            self._flapping.told(short)
            for look, after in changed:
                self._know(look, short, after)

    def _know(self, look: Look, short: str, signature: Signature) -> None:
        assert look.known is not None
        if look.known is look.found:
            look.known = dict(look.known)
        if signature:
            look.known[short] = signature
        else:
            look.known.pop(short, None)
        self._dirty = True

    def _own(self, deployment_id: UUID) -> None:
        self._traces.owners[names.short(deployment_id)] = deployment_id

    async def _look_at_files(self) -> Taken:
        if not self._reading.due:
            return self._files.found
        return await self._reading.thread(self._traces.look)

    async def _look_at_databases(self) -> Taken:
        if not self._asking.due and not self._databases.failing:
            return self._databases.found
        # Apart from each other: what shows in the shared catalogs must not wait for what only shows inside.
        if self._entering.due:
            began = time.monotonic()
            await self._postgres.look_inside()
            self._entering.spent(min(MOST, time.monotonic() - began))
        began = time.monotonic()
        listed = await self._postgres.listed()
        self._asking.spent(min(MOST, time.monotonic() - began))
        return {short: {"databases": told} for short, told in listed.items()}

    def _load(self) -> None:
        """What was told before, unless there is nothing that can be read."""
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
            said = json.loads(self._file.read_bytes())
            if said["format"] != FORMAT:
                return
            for deployment_id in said["owners"]:
                self._own(UUID(deployment_id))
            for look in self._looks:
                if look.name in said["known"]:
                    look.known = {short: dict(one) for short, one in said["known"][look.name].items()}
                    look.began = float(said["at"])

    def _save(self) -> None:
        """Whole or not at all. Not forced to the disk: after a power cut there is nothing left as it was."""
        there = {short for look in self._looks for short in (look.known or {})}
        said = {
            "format": FORMAT,
            "at": time.time(),
            "owners": [str(owner) for short, owner in self._traces.owners.items() if short in there],
            "known": {look.name: look.known for look in self._looks if look.known is not None},
        }
        try:
            self._write(json.dumps(said, separators=(",", ":")))
            self._dirty = False
        except OSError as error:  # a full disk, most likely: at worst something is told twice
            log.warning("the watch cannot keep what it saw", error=str(error))
        self._saved = time.monotonic()

    def _write(self, text: str) -> None:
        fresh = self._file.with_name(f".{self._file.name}.{os.getpid()}.new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        fresh.replace(self._file)


def _any(before: Signature, after: Signature) -> list[str]:
    return sorted(thing for thing in before.keys() | after.keys() if before.get(thing) != after.get(thing))


def _worse(before: Signature, after: Signature) -> list[str]:
    """One who was never asked before, or is no more, is no news."""
    return sorted(
        thing
        for thing, told in after.items()
        if told != before.get(thing) and not (thing not in before and told in FINE)
    )
