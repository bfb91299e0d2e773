"""The life of a deployment, told by its records, its plane and its workflow."""

from dataplane.memory import Memory
from tests.workflows.yard import Yard
from workflows.shapes import DeploymentStatus, RevisionStatus

S = RevisionStatus


async def test_a_first_deploy(yard: Yard) -> None:
    row = await yard.deploy()
    assert await yard.ended(row, 1) is S.DEPLOYED
    found = await yard.row(row)
    assert found is not None
    assert found.status is DeploymentStatus.READY
    assert found.url == f"http://127.0.0.1:4747/d/{found.slug}"
    assert (yard.memory.serving[row.id], yard.running(row)) == (1, [1])
    await yard.settled(row)
    assert yard.memory.calls == {
        step: 1 for step in ("preflight", "build", "provision", "apply", "await_ready", "prove", "switch")
    }
