"""Whether a part really answers, asked the way its users would ask. A running process proves nothing."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from deploy.embedded import postgres
from deploy.embedded.home import Home
from deploy.embedded.ports import Stack
from deploy.embedded.secrets import Secrets
from workflows.names import CONTROL, plane_queue

Check = Callable[[int], Awaitable[bool]]
"""Asks once whether a part answers; is told the part's pid."""
PLANE = "local"
NAMESPACE = "default"


class Readiness:
    """One question per part."""

    def __init__(self, home: Home, stack: Stack, secrets: Secrets) -> None:
        self._home = home
        self._stack = stack
        self._secrets = secrets

    async def postgres(self, pid: int) -> bool:
        dsn = self._secrets.admin_dsn(self._stack.ports["postgres"])
        return await asyncio.to_thread(postgres.answers, dsn)

    async def temporal(self, pid: int) -> bool:
        try:
            client = await Client.connect(self._stack.temporal)
            return await client.service_client.check_health()
        except (RPCError, RuntimeError):
            return False

    async def api(self, pid: int) -> bool:
        transport = httpx.AsyncHTTPTransport(uds=str(self._home.api_socket))
        async with httpx.AsyncClient(transport=transport, base_url="http://api", timeout=5) as client:
            return await _ok(client, "/ready")

    async def worker(self, pid: int) -> bool:
        """Whether this very process polls both its queues; a dead one is listed for minutes."""
        try:
            client = await Client.connect(self._stack.temporal)
            for queue in (CONTROL, plane_queue(PLANE)):
                request = DescribeTaskQueueRequest(
                    namespace=NAMESPACE,
                    task_queue=TaskQueue(name=queue),
                    task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
                )
                seen = await client.workflow_service.describe_task_queue(request)
                if not any(poller.identity.startswith(f"{pid}@") for poller in seen.pollers):
                    return False
        except (RPCError, RuntimeError):
            return False
        return True

    async def caddy(self, pid: int) -> bool:
        """The api's health through the public port: gateway, socket and api in one look."""
        # Asked in vain, the gateway would fill its log with an api that is only not there yet.
        if not await self.api(pid):
            return False
        async with httpx.AsyncClient(base_url=self._stack.local_url, timeout=5, trust_env=False) as client:
            return await _ok(client, "/health")

    def of(self, name: str) -> Check | None:
        checks: dict[str, Check] = {
            "postgres": self.postgres,
            "temporal": self.temporal,
            "api": self.api,
            "worker": self.worker,
            "caddy": self.caddy,
        }
        return checks.get(name)


async def _ok(client: httpx.AsyncClient, path: str) -> bool:
    try:
        return (await client.get(path)).status_code == 200
    except httpx.HTTPError:
        return False
