"""Taking away things of ours that no record knows, one at a time and by name.

A name that is not of our making is refused, whatever was asked: this is the one place that removes things
nobody's wish speaks of. What is gone already is fine.
"""

import asyncio
import re
import shutil
from pathlib import Path

import structlog

from dataplane.local import strays
from dataplane.local.slots import Slots
from dataplane.local.supervisor import Supervisor
from dataplane.local.survey import holds_data
from dataplane.postgres import orphaned
from workflows.shapes import Resource, ResourceKind

log = structlog.get_logger()

PATTERNS = {
    ResourceKind.PROCESS: re.compile(r"server-(?P<short>[0-9a-f]{8})-(?P<number>\d{1,9})-(?P<index>\d{1,4})"),
    ResourceKind.REDIS: re.compile(r"redis-(?P<short>[0-9a-f]{8})"),
    ResourceKind.ROUTE: re.compile(r"(?:[a-z][a-z0-9-]*-)?(?P<short>[0-9a-f]{8})"),
    ResourceKind.ROLE: re.compile(r"gy_[a-z0-9_]+_(?P<short>[0-9a-f]{8})"),
    ResourceKind.DATABASE: re.compile(r"gy_[a-z0-9_]+_(?P<short>[0-9a-f]{8})"),
}


class NotOurs(Exception):
    """A name that nothing of ours can have."""


class Orphans:
    """Orphans of one home and its Postgres."""

    def __init__(self, home: Path, supervisor: Supervisor, postgres_admin: str) -> None:
        self._home = home
        self._supervisor = supervisor
        self._dsn = postgres_admin
        self._slots = Slots(home)

    async def remove(self, orphan: Resource) -> None:
        """Have it gone. Data goes only where `holds_data` says that it was asked for: what turns out to hold
        some after all is left alone."""
        named = PATTERNS[orphan.kind].fullmatch(orphan.name)
        if named is None:
            raise NotOurs(f"{orphan.kind} {orphan.name!r} is not a name of ours")
        match orphan.kind:
            case ResourceKind.PROCESS:
                await self._process(orphan.name, named["short"], int(named["number"]), int(named["index"]))
            case ResourceKind.REDIS:
                await self._redis(orphan.name, named["short"], asked=orphan.holds_data)
            case ResourceKind.ROUTE:
                await asyncio.to_thread(self._route, named["short"])
            case ResourceKind.ROLE:
                await orphaned.drop_role(self._dsn, orphan.name)
            case ResourceKind.DATABASE if orphan.holds_data:
                await orphaned.drop_database(self._dsn, orphan.name)
            case ResourceKind.DATABASE:
                log.warning("an orphaned database is left alone: nobody asked for its end", name=orphan.name)

    async def _process(self, name: str, short: str, number: int, index: int) -> None:
        await self._supervisor.remove(name, urge="INT")
        socket = self._slots.socket(short, number, index)
        await strays.end(str(socket), at_once=True)
        for left in (socket, self._home / "run" / "ran" / name):
            await asyncio.to_thread(left.unlink, missing_ok=True)

    async def _redis(self, name: str, short: str, *, asked: bool) -> None:
        data = self._home / "data" / "redis" / short
        if not asked and await asyncio.to_thread(holds_data, data):
            log.warning("an orphaned Valkey is left alone: it holds data by now", name=name)
            return
        await self._supervisor.remove(name)
        await asyncio.to_thread(shutil.rmtree, data, ignore_errors=True)
        (self._home / "run" / "redis" / f"{short}.sock").unlink(missing_ok=True)
        for file in (self._home / "logs").glob(f"{name}.log*"):
            file.unlink(missing_ok=True)

    def _route(self, short: str) -> None:
        self._slots.close(short)
        for marker in (self._home / "run" / "take").glob(f"{short}-*"):
            marker.unlink(missing_ok=True)
