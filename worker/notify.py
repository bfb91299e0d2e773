"""Telling a deployment's workflow what its plane shows: by id alone, so that it needs no records."""

from datetime import timedelta
from uuid import UUID

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from workflows import names
from workflows.accounts import Notice

PATIENCE = timedelta(seconds=5)


class Notifier:
    """Tells the workflow of a deployment that its plane changed; what does not run is the sweep's to start."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def __call__(self, deployment_id: UUID, notice: Notice) -> None:
        handle = self._client.get_workflow_handle(names.deployment_workflow(deployment_id))
        try:
            await handle.signal("inspect", notice, rpc_timeout=PATIENCE)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
