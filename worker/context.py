"""The log context of a step: whatever it logs names its workflow, itself and the attempt."""

from typing import Any

import structlog
from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor


class LogContext(Interceptor):
    """Binds the context around every activity."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Bound(super().intercept_activity(next))


class _Bound(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info = activity.info()
        with structlog.contextvars.bound_contextvars(
            workflow=info.workflow_id, step=info.activity_type, attempt=info.attempt
        ):
            return await self.next.execute_activity(input)
