"""The control side's worker: workflows, and the steps over the records. It touches no plane."""

from contextlib import AsyncExitStack

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client
from temporalio.worker import Worker

from activities.control.records import RecordSteps
from records.session import connect, sessions
from settings import Settings
from worker.attributes import see_to_attributes
from worker.context import StepContext
from worker.nudge import Nudge
from worker.patience import until_reached
from worker.queues import control_worker


async def control(settings: Settings, client: Client, parts: AsyncExitStack) -> Worker:
    """That worker, once the records answer; what it needs is entered into `parts`."""
    engine = connect(settings.database_url.get_secret_value())
    parts.push_async_callback(engine.dispose)
    await until_reached("the records", lambda: ping(engine))
    await see_to_attributes(client)
    nudge = Nudge(client, sessions(engine))
    steps = RecordSteps(
        sessions(engine),
        public_url=settings.public_url,
        nudge=nudge,
        kinds=settings.kinds,
        urls=settings.plane_urls,
    )
    return control_worker(client, steps, interceptors=[StepContext()])


async def ping(engine: AsyncEngine) -> None:
    """Whether the records answer and have their schema; migrations are not the worker's to run."""
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1 FROM deployments LIMIT 1"))
