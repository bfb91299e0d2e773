"""The worker: control side and one plane in one process. Its parts are built here and nowhere else.

It dies of nothing that may pass: what is not up yet is waited for, and what goes away comes back under it.
"""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any, TypeVar

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.worker import Worker

import telemetry
import temporal
from activities.control.records import RecordSteps
from activities.plane.reports import HttpReports, HttpSources, HttpSurveys, beat, client, ship
from activities.plane.steps import PortSteps
from dataplane.local.logs import Tailer
from records.session import connect, sessions
from sealing import Keyring
from settings import Settings
from worker import planes
from worker.context import StepContext
from worker.nudge import Notifier, Nudge
from worker.patience import until_reached
from worker.queues import control_worker, plane_worker
from worker.schedules import keep
from workflows.surveys import Beat

Result = TypeVar("Result")
log = structlog.get_logger()


def serve(settings: Settings) -> None:
    """Work until told to stop."""
    telemetry.configure(settings)
    asyncio.run(run(settings))


async def run(settings: Settings, stop: asyncio.Event | None = None) -> None:
    """Both roles, until `stop` (SIGTERM and SIGINT set it). While something is still waited for, that ends it
    at once; at work, short steps end first and long ones are handed back."""
    stop = stop or asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as parts:
        workers = await unless(stop, build(settings, parts))
        for worker in workers or []:
            await parts.enter_async_context(worker)
        if workers:
            log.info("working", plane=settings.plane)
            await stop.wait()
            log.info("stopping")


async def build(settings: Settings, parts: AsyncExitStack) -> list[Worker]:
    """The two workers, with everything they need entered into `parts`."""
    keyring = Keyring.load(settings.sealing_keys)
    engine = connect(settings.database_url.get_secret_value())
    parts.push_async_callback(engine.dispose)
    api = await parts.enter_async_context(
        client(settings.api_socket, settings.plane_token.get_secret_value())
    )
    plane = planes.local(settings, keyring, HttpSources(api))
    tailer = Tailer(settings.home / "logs", settings.home / "data" / "shipped.json")
    await parts.enter_async_context(beside(ship(tailer, HttpReports(api)), "ship log lines"))
    await parts.enter_async_context(beside(beat(api, Beat(plane=settings.plane)), "say that we are here"))

    to_temporal = await until_reached("Temporal", lambda: temporal.connect(settings))
    await until_reached("the records", lambda: ping(engine))
    every = timedelta(seconds=settings.sweep_seconds)
    await parts.enter_async_context(beside(keep(to_temporal, settings.plane, every), "keep sweep and watch"))

    interceptors = [StepContext()]
    nudge = Nudge(to_temporal, sessions(engine))
    records = RecordSteps(sessions(engine), public_url=settings.public_url, nudge=nudge)
    steps = PortSteps(plane, surveys=HttpSurveys(api), notify=Notifier(to_temporal))
    return [
        control_worker(to_temporal, records, interceptors=interceptors),
        plane_worker(to_temporal, settings.plane, steps, interceptors=interceptors),
    ]


async def ping(engine: AsyncEngine) -> None:
    """Whether the records answer and have their schema; migrations are not the worker's to run."""
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1 FROM deployments LIMIT 1"))


@asynccontextmanager
async def beside(story: Coroutine[Any, Any, None], name: str) -> AsyncIterator[None]:
    """Run something as long as the body runs."""
    task = asyncio.create_task(story, name=name)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def unless(stop: asyncio.Event, story: Coroutine[Any, Any, Result]) -> Result | None:
    """The result, or None if `stop` came first."""
    working, stopping = asyncio.create_task(story), asyncio.create_task(stop.wait())
    await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
    for task in (working, stopping):
        if not task.done():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
    return None if working.cancelled() else working.result()


if __name__ == "__main__":
    serve(Settings())
