"""Failing at every step: the right status, the cause untouched, and the last good one still serving."""

import pytest

from tests.workflows.test_given_up import serving
from tests.workflows.yard import Yard
from workflows import names
from workflows.causes import Cause, Code, Refused
from workflows.shapes import RevisionStatus

S = RevisionStatus
CASES = {
    "preflight": (Code.CONFIG_INVALID, S.BUILD_FAILED),
    "build": (Code.RESOLUTION_FAILED, S.BUILD_FAILED),
    "provision": (Code.DATABASE_FAILED, S.DEPLOY_FAILED),
    "apply": (Code.CONNECTION_BUDGET, S.DEPLOY_FAILED),
    "await_ready": (Code.IMPORT_FAILED, S.DEPLOY_FAILED),
    "prove": (Code.PROOF_FAILED, S.DEPLOY_FAILED),
    "switch": (Code.GATEWAY_FAILED, S.DEPLOY_FAILED),
}


@pytest.mark.parametrize("step", CASES)
async def test_a_refusal(yard: Yard, step: str) -> None:
    code, status = CASES[step]
    row = await serving(yard)
    yard.memory.fail(step, Refused(code, "could not resolve X because Y.", "Pin X."))
    number = await yard.redeploy(row, b"two")
    assert await yard.ended(row, number) is status
    assert await yard.cause(row, number) == Cause(
        code=code, message="could not resolve X because Y.", fix="Pin X."
    )
    await yard.settled(row)
    assert (yard.memory.serving[row.id], yard.running(row), await yard.active(row)) == (1, [1], 1)
    assert await yard.there(row) == [names.server(row.id, 1, 0)]
    assert yard.memory.calls["discard"] == (step in {"apply", "await_ready", "prove", "switch"})
    assert await yard.ended(row, await yard.redeploy(row, b"three")) is S.DEPLOYED


@pytest.mark.parametrize("step", CASES)
async def test_the_first_revision_fails_and_nothing_is_left(yard: Yard, step: str) -> None:
    code, status = CASES[step]
    yard.memory.fail(step, Refused(code, "it broke."))
    row = await yard.deploy()
    assert await yard.ended(row, 1) is status
    await yard.settled(row)
    assert row.id not in yard.memory.serving
    assert yard.running(row) == []
    assert await yard.active(row) is None
    await yard.delete(row)
    await yard.gone(row)


async def test_a_failed_build_gives_provisioning_up(yard: Yard) -> None:
    held = yard.memory.hold("provision")
    building = yard.memory.hold("build")
    yard.memory.fail("build", Refused(Code.INSTALL_FAILED, "no compiler."))
    row = await yard.deploy()
    await held.reached.wait()
    await building.reached.wait()
    building.release()
    assert await yard.ended(row, 1) is S.BUILD_FAILED
    assert yard.memory.cancelled["provision"] == 1


async def test_what_cannot_be_taken_back_now_is_taken_back_later(yard: Yard) -> None:
    row = await serving(yard)
    yard.memory.fail("prove", Refused(Code.PROOF_FAILED, "no answer."))
    yard.memory.fail("discard", ConnectionError("away"), ConnectionError("away"))
    number = await yard.redeploy(row, b"two")
    assert await yard.ended(row, number) is S.DEPLOY_FAILED
    assert yard.running(row) == [1]
    assert yard.memory.calls["discard"] == 3


async def test_no_value_reaches_history(yard: Yard) -> None:
    """An exception that nobody made for eyes may hold anything: only its class and place are told."""
    marker = "s3cr3t-m4rk3r"
    yard.memory.fail("provision", ValueError(f"syntax error near PASSWORD '{marker}'"))
    row = await yard.deploy()
    assert await yard.ended(row, 1) is S.DEPLOYED
    text = (await yard.rollout(row, 1).fetch_history()).to_json()
    assert "ValueError at memory.py" in text
    assert marker not in text
