"""A deployment lives for years: its workflow begins anew when its history grows long, and loses nothing."""

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.contrib.pydantic import pydantic_data_converter

from records.session import connect, sessions
from tests.temporal_server import TemporalServer
from tests.workflows.yard import Yard
from workflows import names
from workflows.shapes import RevisionStatus

S = RevisionStatus


async def test_it_continues_as_new_between_rollouts(forgetful_server: TemporalServer, database: str) -> None:
    client = await Client.connect(forgetful_server.address, data_converter=pydantic_data_converter)
    engine = connect(database)
    yard = Yard(client, sessions(engine))
    async with yard.working():
        row = await yard.deploy()
        assert await yard.ended(row, 1) is S.DEPLOYED
        for number in range(2, 6):
            held = yard.memory.hold("build")
            await yard.redeploy(row, str(number).encode())
            await held.reached.wait()
            # Nudged in the middle of a rollout, and more than once: it must not lose sight of its child.
            await yard.nudge(row)
            await yard.nudge(row)
            held.release()
            assert await yard.ended(row, number) is S.DEPLOYED
        await yard.settled(row)
        assert yard.running(row) == [5]
        found = [one async for one in client.list_workflows("WorkflowType = 'Deployment'")]
        ends = [one.status for one in found]
        assert ends.count(WorkflowExecutionStatus.RUNNING) == 1
        assert ends.count(WorkflowExecutionStatus.CONTINUED_AS_NEW) >= 2
        assert {one.id for one in found} == {names.deployment_workflow(row.id)}
        rollouts = [one async for one in client.list_workflows("WorkflowType = 'Rollout'")]
        assert len(rollouts) == 5
        assert {one.status for one in rollouts} == {WorkflowExecutionStatus.COMPLETED}
        await yard.delete(row)
        await yard.gone(row)
    await engine.dispose()
