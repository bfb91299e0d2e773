"""What gets lost and comes right again: workers, nudges, whole workflows."""

import asyncio

from tests.workflows.test_deployment import assert_empty
from tests.workflows.test_given_up import serving
from tests.workflows.yard import Yard, until
from workflows import names
from workflows.shapes import RevisionStatus

S = RevisionStatus


async def test_a_worker_that_goes_in_the_middle_of_a_step(idle_yard: Yard) -> None:
    yard = idle_yard
    held = yard.memory.hold("build")
    async with yard.working():
        row = await yard.deploy()
        await held.reached.wait()
    assert yard.memory.cancelled["build"] == 1
    held.release()
    async with yard.working():
        assert await yard.ended(row, 1) is S.DEPLOYED
    assert yard.running(row) == [1]
    assert yard.memory.calls["build"] == 2


async def test_a_worker_that_goes_while_a_removal_runs(idle_yard: Yard) -> None:
    yard = idle_yard
    held = yard.memory.hold("remove")
    async with yard.working():
        row = await yard.deploy()
        await yard.ended(row, 1)
        await yard.delete(row)
        await held.reached.wait()
    held.release()
    async with yard.working():
        await yard.gone(row)
    assert_empty(yard.memory)


async def test_wishes_are_kept_while_no_worker_is_there(idle_yard: Yard) -> None:
    row = await idle_yard.deploy()
    assert await idle_yard.redeploy(row, b"two") == 2
    async with idle_yard.working():
        assert await idle_yard.ended(row, 2) is S.DEPLOYED
    assert (await idle_yard.revision(row, 1)).status is S.SKIPPED
    assert idle_yard.memory.calls["build"] == 1


async def test_a_lost_nudge_is_found_by_the_sweep(yard: Yard) -> None:
    row = await yard.create()
    swept = await yard.sweep()
    assert (swept.deployments, swept.nudged) == (1, 1)
    assert await yard.ended(row, 1) is S.DEPLOYED


async def test_a_lost_interrupt_and_a_lost_deletion_too(yard: Yard) -> None:
    held = yard.memory.hold("build")
    row = await yard.deploy()
    await held.reached.wait()
    await yard.interrupt(row, 1, heard=False)
    await yard.sweep()
    assert await yard.ended(row, 1) is S.INTERRUPTED
    held.release()
    await yard.delete(row, heard=False)
    await yard.sweep()
    await yard.gone(row)
    assert await yard.row(row) is None


async def test_a_rollout_that_was_terminated_is_begun_again(yard: Yard) -> None:
    held = yard.memory.hold("build")
    row = await yard.deploy()
    await held.reached.wait()
    await yard.rollout(row, 1).terminate("somebody did this by hand")
    held.release()

    async def lost() -> bool:
        described = await yard.entity(row.id).describe()
        return not described.raw_description.pending_children

    await until(lost)
    await yard.nudge(row)
    assert await yard.ended(row, 1) is S.DEPLOYED
    # On record a moment before its workflow ends.
    await yard.completed(names.rollout_workflow(row.id, 1, 2))


async def test_a_deployment_that_was_terminated_is_begun_again(yard: Yard) -> None:
    row = await serving(yard)
    await yard.entity(row.id).terminate("somebody did this by hand")
    assert await yard.ended(row, await yard.redeploy(row, b"two")) is S.DEPLOYED


async def test_one_that_was_terminated_in_the_middle_of_a_rollout_loses_no_wish(yard: Yard) -> None:
    held = yard.memory.hold("build")
    row = await yard.deploy()
    await held.reached.wait()
    await yard.entity(row.id).terminate("somebody did this by hand")
    await yard.completed(names.rollout_workflow(row.id, 1, 1))
    assert not (await yard.revision(row, 1)).status.ended
    held.release()
    await yard.sweep()
    assert await yard.ended(row, 1) is S.DEPLOYED


async def test_twenty_quick_wishes_cost_few_rollouts(yard: Yard) -> None:
    row = await yard.deploy()
    for number in range(2, 21):
        assert await yard.redeploy(row, str(number).encode()) == number
    assert await yard.ended(row, 20) is S.DEPLOYED
    await yard.settled(row)
    assert yard.running(row) == [20]
    ends = [(await yard.revision(row, number)).status for number in range(1, 21)]
    assert ends.count(S.DEPLOYED) + ends.count(S.SKIPPED) == 20
    begun = [number for number in range(1, 21) if await yard.was_begun(row, number)]
    assert len(begun) <= 8, begun


async def test_many_deployments_at_once(yard: Yard) -> None:
    rows = [await yard.deploy(str(index).encode()) for index in range(8)]
    assert await asyncio.gather(*(yard.ended(row, 1) for row in rows)) == [S.DEPLOYED] * 8


async def test_an_idle_deployment_costs_nothing(yard: Yard) -> None:
    row = await serving(yard)
    await yard.settled(row)
    seen = (await yard.entity(row.id).describe()).raw_description
    assert not seen.pending_activities
    history = await yard.entity(row.id).fetch_history()
    assert not [event for event in history.events if event.HasField("timer_started_event_attributes")]
