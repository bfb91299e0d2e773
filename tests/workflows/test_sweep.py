"""The sweep over a plane: everything held against the records, and only what differs is looked at closer."""

from datetime import timedelta
from uuid import uuid4

import pytest
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from records import orphan
from tests.workflows.test_given_up import serving
from tests.workflows.ward import Ledger, Ward
from tests.workflows.yard import Yard, until
from worker.queues import bound
from workflows import names, sweep
from workflows.accounts import Finder
from workflows.mending import State
from workflows.shapes import Resource, ResourceKind, RevisionStatus, Swept
from workflows.steps import ControlSteps
from workflows.sweep import Sweep, both


async def test_a_plane_that_is_as_recorded(yard: Yard) -> None:
    row = await serving(yard)
    looks = yard.memory.calls["sight"]
    swept = await yard.sweep()
    assert (swept.differing, swept.orphans, swept.sentence) == (0, 0, "1 deployment, none differs")
    await yard.settled(row)
    assert yard.memory.calls["sight"] == looks


async def test_only_what_differs_is_looked_at(yard: Yard) -> None:
    rows = [await serving(yard) for _ in range(3)]
    ill = rows[1]
    yard.memory.injuries.lose_replica(ill.id)
    swept = await yard.sweep()
    assert swept.sentence == f"3 deployments, 1 differs: {ill.name} lost a replica"
    assert (swept.deployments, swept.differing) == (3, 1)
    await yard.standing(ill, State.STEADY)
    (found,) = await yard.drifts(ill)
    assert (found.name, found.found_by) == (names.server(ill.id, 1, 0), Finder.SWEEP)
    assert found.closed_at is not None
    assert yard.memory.calls["sight"] == 2
    assert (await yard.sweep()).differing == 0
    assert [(await yard.revision(row, 1)).status for row in rows] == [RevisionStatus.DEPLOYED] * 3


async def test_a_workflow_that_is_gone_is_begun_for_what_differs(yard: Yard) -> None:
    row = await serving(yard)
    await yard.entity(row.id).terminate("somebody did this by hand")
    yard.memory.injuries.lose_route(row.id)
    await yard.sweep()
    await yard.standing(row, State.STEADY)
    assert yard.memory.serving[row.id] == 1


async def test_orphans_are_reported_first_and_removed_after_their_time(yard: Yard) -> None:
    row = await serving(yard)
    await yard.delete(row)
    await yard.gone(row)
    thing = Resource(kind=ResourceKind.PROCESS, name=names.server(row.id, 1, 0))
    data = Resource(kind=ResourceKind.DATABASE, name=names.database(row.name, row.id), holds_data=True)
    for stray in (thing, data):
        yard.memory.injuries.add_stray(stray)
    swept = await yard.sweep()
    assert (swept.orphans, swept.sentence) == (2, "0 deployments, none differs; 2 orphans")
    assert yard.memory.injuries.strays == [thing, data]
    yard.surveys.grace = timedelta(0)
    await yard.sweep()
    assert yard.memory.injuries.strays == [data]
    async with yard.sessions.begin() as session:
        (found,) = [one for one in await orphan.listed(session, yard.plane.name) if one.holds_data]
        await orphan.ask_removal(session, yard.plane.name, found.id)
    await yard.sweep()
    assert yard.memory.injuries.strays == []


async def test_a_plane_that_is_away_holds_no_sweep_up(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of the sandbox, so that the test need not wait as long as a sweep does."""
    monkeypatch.setattr(sweep, "ABSENT", timedelta(seconds=1))
    worker = Worker(
        client,
        task_queue=names.CONTROL,
        workflows=[Sweep],
        activities=bound(Ledger(), ControlSteps),
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    async with worker:
        swept = await client.execute_workflow(
            Sweep.run, "nowhere", id=f"sweep-{uuid4()}", task_queue=names.CONTROL
        )
    assert swept.nudged == 1
    assert swept.sentence == (
        "1 deployment, 1 nudged: agent waited 70 s; plane nowhere cannot be seen: its worker is away"
    )


async def test_a_plane_that_cannot_be_compared_says_why(idle_ward: Ward) -> None:
    ward = idle_ward
    ward.memory.fail("observe_all", *[ConnectionError("supervisord is away")] * 2)
    async with ward.working():
        swept = await ward.client.execute_workflow(
            Sweep.run, ward.plane.name, id=f"sweep-{uuid4()}", task_queue=names.CONTROL
        )
    assert f"plane {ward.plane.name} was not compared: ConnectionError: supervisord is away" in swept.sentence
    assert ward.memory.calls["observe_all"] == 2


async def test_a_wish_made_while_the_plane_was_away_is_done_once(idle_yard: Yard) -> None:
    async with idle_yard.working():
        row = await serving(idle_yard)
    idle_yard.memory.injuries.lose_replica(row.id)
    for content in (b"two", b"three"):
        await idle_yard.redeploy(row, content)
    async with idle_yard.working():
        assert await idle_yard.ended(row, 3) is RevisionStatus.DEPLOYED
        await idle_yard.settled(row)
        await idle_yard.sweep()
        await idle_yard.settled(row)

        async def alone() -> bool:
            return idle_yard.running(row) == [3]

        await until(alone)
    assert idle_yard.memory.calls["switch"] == 2


@pytest.mark.parametrize(
    ("waiting", "surveyed", "expected"),
    [
        (
            Swept(deployments=2, sentence="2 deployments, 0 nudged"),
            Swept(deployments=2, sentence="2 deployments, none differs"),
            "2 deployments, none differs",
        ),
        (
            Swept(deployments=2, nudged=1, sentence="2 deployments, 1 nudged: a waited 70 s"),
            Swept(deployments=2, differing=1, sentence="2 deployments, 1 differs: b lost a replica"),
            "2 deployments, 1 differs: b lost a replica; 1 nudged: a waited 70 s",
        ),
        (
            Swept(deployments=2, sentence="2 deployments, 0 nudged; 1 could not be nudged"),
            Swept(deployments=2, sentence="2 deployments, none differs"),
            "2 deployments, none differs; 0 nudged; 1 could not be nudged",
        ),
        (
            Swept(deployments=2, sentence="2 deployments, 0 nudged"),
            Swept(sentence="plane local cannot be seen: its worker is away"),
            "2 deployments, 0 nudged; plane local cannot be seen: its worker is away",
        ),
    ],
)
def test_one_sentence_of_two(waiting: Swept, surveyed: Swept, expected: str) -> None:
    assert both(waiting, surveyed).sentence == expected
