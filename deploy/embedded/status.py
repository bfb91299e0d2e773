"""`graphyard status`: what runs and what does not, told also when half of it is down."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import click
import httpx
import psutil

from dataplane.local.supervisor import State, Supervisor
from deploy.embedded import drift
from deploy.embedded.daemon import Daemon
from deploy.embedded.deployments import client, deployments
from deploy.embedded.home import Home
from deploy.embedded.ports import Stack
from deploy.embedded.ready import Readiness
from workflows import names

PARTS = ("postgres", "temporal", "api", "worker", "caddy", "keeper")


@dataclass(frozen=True)
class Line:
    """One part as a person wants to see it."""

    name: str
    state: str
    pid: int = 0
    memory: int = 0
    uptime: float = 0

    @property
    def well(self) -> bool:
        return self.state == "up"


async def parts(supervisor: Supervisor, daemon: Daemon, ready: Readiness) -> list[Line]:
    """Every part, asked for real; all down when the supervisor is."""
    alive = await supervisor.alive()
    seen = await supervisor.all_states() if alive else {}
    return [
        _supervisor(daemon.pid() if alive else None),
        *await asyncio.gather(*(_part(name, seen.get(name), ready) for name in PARTS)),
    ]


def _supervisor(pid: int | None) -> Line:
    try:
        process = psutil.Process(pid or 0)
        return Line(
            "supervisor", "up", process.pid, process.memory_info().rss, time.time() - process.create_time()
        )
    except psutil.Error:
        return Line("supervisor", "down")


async def _part(name: str, seen: State | None, ready: Readiness) -> Line:
    if seen is None or not seen.pid:
        return Line(name, "down")
    check = ready.of(name)
    answers = check is None or await check(seen.pid)
    return Line(name, "up" if answers else "silent", seen.pid, memory(seen.pid), time.time() - seen.started)


def memory(pid: int) -> int:
    """Resident bytes of a process and its children; what they share counts once a process."""
    try:
        process = psutil.Process(pid)
        return sum(one.memory_info().rss for one in (process, *process.children(recursive=True)))
    except psutil.Error:
        return 0


async def agents(home: Home, seen: Mapping[str, State]) -> list[dict[str, Any]] | None:
    """Every deployment with its living replicas; None while the api does not say."""
    try:
        found = await deployments(home)
    except (httpx.HTTPError, OSError):
        return None
    for one in found:
        prefix = f"server-{names.short(UUID(one['id']))}-"
        one["replicas"] = sum(name.startswith(prefix) and bool(it.pid) for name, it in seen.items())
    return found


async def plane(home: Home) -> dict[str, Any] | None:
    """The plane, as the records know it; None while the api does not say."""
    try:
        async with client(home) as api:
            return await drift.plane(api)
    except (httpx.HTTPError, OSError):
        return None


def well(lines: list[Line], found: list[dict[str, Any]] | None, where: dict[str, Any] | None = None) -> bool:
    """Whether every part answers and everything that has an address has a process behind it."""
    return (
        all(line.well for line in lines)
        and not (where and where["status"] == "offline")
        and found is not None
        and all(one["replicas"] or not one.get("url") for one in found)
    )


def span(seconds: float) -> str:
    """3 d 4 h, 5 m 12 s: the two largest units."""
    whole = int(seconds)
    said: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, whole = divmod(whole, size)
        if count or said or unit == "s":
            said.append(f"{count} {unit}")
    return " ".join(said[:2])


def show(
    lines: list[Line],
    found: list[dict[str, Any]] | None,
    stack: Stack,
    where: dict[str, Any] | None = None,
) -> None:
    click.echo(f"{'part':<10} {'state':<8} {'pid':>8} {'memory':>9}  uptime")
    for line in lines:
        rest = f"{line.pid:>8} {line.memory // 2**20:>6} MB  {span(line.uptime)}" if line.pid else ""
        click.echo(f"{line.name:<10} {line.state:<8} {rest}".rstrip())
    if where is not None and where["status"] == "offline":
        click.echo(drift.sight(where, datetime.now(UTC)))
    click.echo()
    if found is None:
        click.echo("deployments: unknown, because the api does not answer")
    elif not found:
        click.echo("deployments: none yet")
    else:
        width = max(len("deployment"), *(len(one["name"]) for one in found))
        click.echo(f"{'deployment':<{width}} {'status':<18} {'replicas':>8}  {'id':<36}  url")
        for one in found:
            click.echo(
                f"{one['name']:<{width}} {one['status']:<18} {one['replicas']:>8}  {one['id']}  "
                f"{one.get('url') or '-'}"
            )
    click.echo()
    click.echo(f"{stack.url}   Temporal UI {stack.temporal_ui if stack.ports else '-'}")
