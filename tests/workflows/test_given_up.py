"""Given up at every step: for a newer wish, on request, because of a deletion. Until the switch it is taken
back and the last good one goes on serving; from the switch on it is carried through."""

import pytest

from records.deployment import Deployment as Row
from tests.workflows.test_deployment import assert_empty
from tests.workflows.yard import Yard
from workflows import names
from workflows.causes import Code, Refused
from workflows.shapes import RevisionStatus

S = RevisionStatus
STEPS = ("preflight", "build", "provision", "apply", "await_ready", "prove")


async def serving(yard: Yard) -> Row:
    """A deployment whose first revision serves."""
    row = await yard.deploy()
    assert await yard.ended(row, 1) is S.DEPLOYED
    return row


@pytest.mark.parametrize("step", STEPS)
async def test_a_newer_wish(yard: Yard, step: str) -> None:
    row = await serving(yard)
    held = yard.memory.hold(step)
    await yard.redeploy(row, b"two")
    await held.reached.wait()
    newest = await yard.redeploy(row, b"three")
    assert await yard.ended(row, 2) is S.SKIPPED
    assert (await yard.cause(row, 2)).code is Code.SUPERSEDED
    assert yard.memory.cancelled[step] == 1
    assert yard.memory.serving[row.id] == 1
    held.release()
    assert await yard.ended(row, newest) is S.DEPLOYED
    await yard.settled(row)
    assert (yard.memory.serving[row.id], yard.running(row)) == (newest, [newest])
    assert await yard.there(row) == [names.server(row.id, newest, 0)]


@pytest.mark.parametrize("step", STEPS)
async def test_an_interrupt(yard: Yard, step: str) -> None:
    row = await serving(yard)
    held = yard.memory.hold(step)
    number = await yard.redeploy(row, b"two")
    await held.reached.wait()
    await yard.interrupt(row, number)
    assert await yard.ended(row, number) is S.INTERRUPTED
    assert (await yard.cause(row, number)).code is Code.INTERRUPTED
    await yard.settled(row)
    assert (yard.memory.serving[row.id], yard.running(row), await yard.active(row)) == (1, [1], 1)
    assert await yard.there(row) == [names.server(row.id, 1, 0)]


@pytest.mark.parametrize("step", [*STEPS, "switch"])
async def test_a_deletion(yard: Yard, step: str) -> None:
    held = yard.memory.hold(step)
    row = await yard.deploy()
    await held.reached.wait()
    await yard.delete(row)
    if step == "switch":
        held.release()
    await yard.gone(row)
    assert await yard.row(row) is None
    assert await yard.there(row) == []
    assert_empty(yard.memory)


@pytest.mark.parametrize("step", ["build", "await_ready"])
async def test_an_interrupt_then_a_redeploy(yard: Yard, step: str) -> None:
    """The first revision ever, so that nothing serves meanwhile."""
    held = yard.memory.hold(step)
    row = await yard.deploy()
    await held.reached.wait()
    await yard.interrupt(row, 1)
    assert await yard.ended(row, 1) is S.INTERRUPTED
    await yard.settled(row)
    assert row.id not in yard.memory.serving
    assert yard.running(row) == []
    held.release()
    assert await yard.ended(row, await yard.redeploy(row, b"one")) is S.DEPLOYED


async def test_from_the_switch_on_there_is_no_way_back(yard: Yard) -> None:
    row = await serving(yard)
    held = yard.memory.hold("switch")
    await yard.redeploy(row, b"two")
    await held.reached.wait()
    await yard.redeploy(row, b"three")
    await yard.interrupt(row, 2)
    await yard.asked_to_end(row, 2)
    held.release()
    assert await yard.ended(row, 2) is S.DEPLOYED
    assert await yard.ended(row, 3) is S.DEPLOYED
    assert yard.memory.cancelled["switch"] == 0
    await yard.settled(row)
    assert yard.running(row) == [3]


async def test_a_step_that_swallows_the_request(yard: Yard) -> None:
    """It was asked to end and succeeded all the same: nothing goes on after it."""
    row = await serving(yard)
    held = yard.memory.hold("prove", stubborn=True)
    number = await yard.redeploy(row, b"two")
    await held.reached.wait()
    await yard.interrupt(row, number)
    await yard.asked_to_end(row, number)
    held.release()
    assert await yard.ended(row, number) is S.INTERRUPTED
    assert yard.memory.serving[row.id] == 1


async def test_interrupted_before_anybody_looked(yard: Yard) -> None:
    row = await yard.create()
    await yard.interrupt(row, 1)
    assert await yard.ended(row, 1) is S.INTERRUPTED
    await yard.settled(row)
    assert yard.memory.calls == {}


async def test_asked_to_end_while_it_is_taken_back(yard: Yard) -> None:
    """A failure is being compensated when a newer wish comes: the taking back is not given up."""
    row = await serving(yard)
    yard.memory.fail("prove", Refused(Code.PROOF_FAILED, "no answer."))
    held = yard.memory.hold("discard")
    await yard.redeploy(row, b"two")
    await held.reached.wait()
    newest = await yard.redeploy(row, b"three")
    await yard.asked_to_end(row, 2)
    held.release()
    assert (await yard.ended(row, 2)).ended
    assert await yard.ended(row, newest) is S.DEPLOYED
    assert yard.memory.cancelled["discard"] == 0
    await yard.settled(row)
    assert yard.running(row) == [newest]
