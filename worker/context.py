"""What surrounds every step: a log context that names its workflow, itself and the attempt, and the
translation of whatever it raises into words that history may keep."""

from typing import Any

import structlog
from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.failures import told


class StepContext(Interceptor):
    """Goes around every activity of a worker."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Around(super().intercept_activity(next))


class _Around(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info = activity.info()
        with (
            structlog.contextvars.bound_contextvars(
                workflow=info.workflow_id, step=info.activity_type, attempt=info.attempt
            ),
            told(patience=None),
        ):
            return await self.next.execute_activity(input)
