"""A plane's worker, its listener: it polls that plane's queue and speaks to the api, and both ways it is the one
who connects. It never sees the records, so a plane may live in somebody else's cluster.
"""

import contextlib
from contextlib import AsyncExitStack
from datetime import timedelta
from importlib import metadata

from temporalio.client import Client
from temporalio.worker import Worker

from activities.plane.reports import HttpSurveys, beat, client
from activities.plane.steps import PortSteps
from dataplane.plane import Plane
from sealing import Keyring
from settings import Settings
from worker import planes
from worker.beside import beside
from worker.context import StepContext
from worker.notify import Notifier
from worker.queues import plane_worker
from worker.schedules import keep
from workflows.surveys import Beat


def release() -> str:
    """Which Graphyard this is, if it was installed."""
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version("graphyard")
    return ""


class Listener:
    """One plane and its way to the api. Built in two strokes: lines are shipped and the api hears of it before
    Temporal is reached."""

    def __init__(self, settings: Settings, plane: Plane, surveys: HttpSurveys) -> None:
        self._settings = settings
        self._plane = plane
        self._surveys = surveys

    @classmethod
    async def come_up(cls, settings: Settings, parts: AsyncExitStack) -> "Listener":
        """The plane, with what it needs entered into `parts`."""
        keyring = Keyring.load(settings.sealing_keys)
        api = await parts.enter_async_context(
            client(
                settings.api_url or settings.api_socket,
                settings.plane_token.get_secret_value(),
                ca=settings.api_ca,
            )
        )
        plane = await parts.enter_async_context(planes.of(settings, keyring, api))
        sign = Beat(plane=settings.plane, kind=settings.plane_kind, version=release())
        await parts.enter_async_context(beside(beat(api, sign), "say that we are here"))
        return cls(settings, plane, HttpSurveys(api))

    async def worker(self, client: Client, parts: AsyncExitStack) -> Worker:
        """Its worker; sweep and watch are seen to beside it."""
        every = timedelta(seconds=self._settings.sweep_seconds)
        await parts.enter_async_context(
            beside(keep(client, self._settings.plane, every), "keep sweep and watch")
        )
        steps = PortSteps(self._plane, surveys=self._surveys, notify=Notifier(client))
        return plane_worker(client, self._settings.plane, steps, interceptors=[StepContext()])
