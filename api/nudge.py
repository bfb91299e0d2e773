"""Telling a deployment's workflow to look again: at its record, or at its plane.

The record is the wish and is committed before; a nudge carries nothing but who noticed something, and when. So
it may fail: the caller's answer does not depend on Temporal, and the sweep finds what nobody was told about.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import structlog
from temporalio.client import Client
from temporalio.common import SearchAttributePair, TypedSearchAttributes

from api.meters import Meters
from workflows import names
from workflows.accounts import Notice
from workflows.shapes import Entity

PATIENCE = timedelta(seconds=2)
PAUSE = 1.0
log = structlog.get_logger()

Connect = Callable[[], Awaitable[Client]]


class Nudger:
    """Holds the client, which is connected in the background: the api serves without Temporal too."""

    def __init__(self, connect: Connect, meters: Meters) -> None:
        self._connect = connect
        self._meters = meters
        self._client: Client | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep_trying(), name="connect to Temporal")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def reachable(self) -> bool:
        """Whether Temporal answers now."""
        if self._client is None:
            return False
        try:
            async with asyncio.timeout(PATIENCE.total_seconds()):
                healthy = await self._client.service_client.check_health(retry=False)
        except Exception:
            healthy = False
        self._meters.temporal_up.set(healthy)
        return healthy

    async def look(self, deployment_id: UUID, *, plane: str, workspace: str, name: str) -> bool:
        """Have the deployment's workflow look at its record; it is started if it does not run. Never raises;
        whether it was told."""
        return await self._tell(Entity(deployment_id=deployment_id, plane=plane), workspace, name, "look", [])

    async def inspect(
        self, deployment_id: UUID, notice: Notice, *, plane: str, workspace: str, name: str
    ) -> bool:
        """Likewise, have it look at its plane."""
        entity = Entity(deployment_id=deployment_id, plane=plane)
        return await self._tell(entity, workspace, name, "inspect", [notice])

    async def _tell(
        self, entity: Entity, workspace: str, name: str, signal: str, arguments: list[Notice]
    ) -> bool:
        try:
            async with asyncio.timeout(PATIENCE.total_seconds()):
                await self._signal(entity, workspace, name, signal, arguments)
        except Exception as error:
            self._meters.nudges_failed.inc()
            told = f"{type(error).__name__}: {error}"
            log.warning("nudge failed", deployment=str(entity.deployment_id), signal=signal, error=told)
            return False
        return True

    async def _signal(
        self, entity: Entity, workspace: str, name: str, signal: str, arguments: list[Notice]
    ) -> None:
        if self._client is None:
            raise ConnectionError("Temporal has not been reached yet")
        await self._client.start_workflow(
            "Deployment",
            entity,
            id=names.deployment_workflow(entity.deployment_id),
            task_queue=names.CONTROL,
            start_signal=signal,
            start_signal_args=arguments,
            static_summary=f"{workspace}/{name}",
            search_attributes=TypedSearchAttributes(
                [SearchAttributePair(names.TENANT, workspace), SearchAttributePair(names.NAME, name)]
            ),
            rpc_timeout=PATIENCE,
        )

    async def _keep_trying(self) -> None:
        told = False
        while self._client is None:
            try:
                self._client = await self._connect()
                self._meters.temporal_up.set(1)
            except Exception as error:
                if not told:
                    log.warning("Temporal not reached yet", error=f"{type(error).__name__}: {error}")
                told = True
                await asyncio.sleep(PAUSE)
        log.info("Temporal reached")
