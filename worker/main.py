"""The worker: control side, one plane, or both in one process. Its parts are built here and nowhere else.

It dies of nothing that may pass: what is not up yet is waited for, and what goes away comes back under it. Each
side is imported only by a process that has it: a plane's own worker holds no code for the records.
"""

import asyncio
import signal
from contextlib import AsyncExitStack
from enum import Flag, auto

import structlog
from temporalio.worker import Worker

import telemetry
import temporal
from settings import Settings
from worker.beside import unless
from worker.health import Health, watched
from worker.patience import until_reached

log = structlog.get_logger()


class Role(Flag):
    """What a process is for."""

    CONTROL = auto()
    PLANE = auto()
    BOTH = CONTROL | PLANE


def serve(settings: Settings, role: Role = Role.BOTH) -> None:
    """Work until told to stop."""
    telemetry.configure(settings)
    asyncio.run(run(settings, role=role))


async def run(settings: Settings, stop: asyncio.Event | None = None, *, role: Role = Role.BOTH) -> None:
    """In this role, until `stop` (SIGTERM and SIGINT set it). While something is still waited for, that ends it
    at once; at work, short steps end first and long ones are handed back."""
    stop = stop or asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    health = Health()
    async with AsyncExitStack() as parts:
        await parts.enter_async_context(watched(health, settings.health_listen))
        workers = await unless(stop, build(settings, role, parts, health))
        for worker in workers or []:
            await parts.enter_async_context(worker)
        if workers:
            health.waiting = ""
            log.info("working", role=str(role), plane=settings.plane if Role.PLANE in role else None)
            await stop.wait()
            health.waiting = "nothing more: it stops"
            log.info("stopping")


async def build(settings: Settings, role: Role, parts: AsyncExitStack, health: Health) -> list[Worker]:
    """The workers of a role, with everything they need entered into `parts`."""
    listener = None
    if Role.PLANE in role:
        from worker.plane import Listener

        health.waiting = "its plane"
        listener = await Listener.come_up(settings, parts)
    health.waiting = "Temporal"
    client = await until_reached("Temporal", lambda: temporal.connect(settings))
    workers = []
    if Role.CONTROL in role:
        from worker.control import control

        health.waiting = "the records"
        workers.append(await control(settings, client, parts))
    if listener is not None:
        workers.append(await listener.worker(client, parts))
    return workers


if __name__ == "__main__":
    serve(Settings())
