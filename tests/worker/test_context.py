"""What surrounds a step: its log lines know where they come from, and its failures lose their values."""

import pytest
import structlog
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from worker.context import StepContext


class Inner(ActivityInboundInterceptor):
    """The step itself."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.context: dict[str, object] = {}

    async def execute_activity(self, input: ExecuteActivityInput) -> object:
        self.context = dict(structlog.contextvars.get_contextvars())
        if self.error:
            raise self.error
        return "done"


async def done(inner: Inner) -> object:
    around = StepContext().intercept_activity(inner)
    given = ExecuteActivityInput(fn=lambda: None, args=[], executor=None, headers={})
    return await ActivityEnvironment().run(around.execute_activity, given)


async def test_a_line_names_workflow_step_and_attempt() -> None:
    inner = Inner()
    assert await done(inner) == "done"
    assert inner.context == {"workflow": "test", "step": "unknown", "attempt": 1}
    assert structlog.contextvars.get_contextvars() == {}


async def test_a_failure_loses_its_values() -> None:
    with pytest.raises(ApplicationError) as caught:
        await done(Inner(ValueError("s3cr3t")))
    assert "s3cr3t" not in str(caught.value)
