"""What serves stays as its record says: looked at, accounted for, repaired, and left alone where that is all."""

from temporalio.client import Client

from tests.workflows.ward import Ward
from tests.workflows.yard import until
from workflows import names
from workflows.accounts import Finder
from workflows.causes import Code, Refused
from workflows.drift import Field
from workflows.mending import State
from workflows.shapes import Phase, Policy, ResourceKind


async def test_what_is_well_is_only_accounted_for(ward: Ward) -> None:
    wish = await ward.admit()
    await ward.inspect(wish)
    account = await ward.told(State.STEADY)
    assert (account.differences, account.notice.by, account.number) == ([], Finder.WATCH, 1)
    assert ward.memory.calls["repair"] == 0


async def test_the_smallest_remedy_mends(ward: Ward) -> None:
    wish = await ward.admit(replicas=2)
    ward.memory.injuries.lose_replica(wish.deployment_id, 1)
    await ward.inspect(wish)
    steady = await ward.told(State.STEADY)
    lost = names.server(wish.deployment_id, 1, 1)
    found = ward.ledger.accounts[0]
    assert [one.key for one in found.differences] == [f"process {lost}"]
    assert (found.state, found.notice.by) == (State.REPAIRING, Finder.WATCH)
    assert steady.treated == {f"process {lost}": "fit"}
    assert ward.remedies == ["fit"]
    assert ward.memory.treated[0].targets == [lost]
    assert await ward.pauses(wish) == []


async def test_a_database_that_is_gone_is_made_and_the_servers_begun_again(ward: Ward) -> None:
    wish = await ward.admit()
    ward.memory.injuries.lose_databases(wish.deployment_id, ResourceKind.DATABASE)
    await ward.inspect(wish)
    await ward.told(State.STEADY)
    assert ward.remedies == ["provision", "restart"]


async def test_what_does_not_hold_is_tried_with_growing_pauses_and_then_left_alone(ward: Ward) -> None:
    wish = await ward.admit()
    memory, ill = ward.memory, wish.deployment_id
    memory.injuries.lasting(ill, lambda: memory.injuries.lose_replica(ill))
    await ward.inspect(wish)
    await ward.skip_until(lambda: State.GIVEN_UP in ward.states, step=60)
    pauses = await ward.pauses(wish)
    assert [round(pause) for pause in pauses] == [2, 6, 18, 54, 162, 300]
    given_up = ward.ledger.accounts[-1]
    assert "7 repairs did not hold" in given_up.why
    assert memory.calls["repair"] == 7
    assert ward.remedies[:2] == ["fit", "fit"]
    assert ward.remedies[2:4] == ["provision", "restart"]
    waiting = [one for one in ward.ledger.accounts if one.state is State.BACKING_OFF]
    assert all(one.next_try_at is not None for one in waiting)

    # The same once more changes nothing.
    seen = len(ward.ledger.accounts)
    await ward.inspect(wish)
    await ward.told(State.GIVEN_UP, after=seen)
    assert memory.calls["repair"] == 7

    # Something else is treated, and what was given up stays so.
    slug = names.slug(wish.name, ill)
    seen = len(ward.ledger.accounts)
    memory.injuries.hurt(ill, Field.ROUTE, slug, "closed")
    await ward.inspect(wish)
    await ward.told(State.GIVEN_UP, after=seen)
    assert ward.remedies[-1] == "relink"
    assert memory.calls["repair"] == 8

    # A person asks: everything begins anew, and now it holds.
    memory.injuries.end_lasting(ill)
    seen = len(ward.ledger.accounts)
    await ward.inspect(wish, Finder.PERSON)
    await ward.told(State.STEADY, after=seen)
    assert memory.calls["repair"] == 9


async def test_what_was_given_up_is_tried_again_for_another_revision(ward: Ward) -> None:
    wish = await ward.admit()
    memory, ill = ward.memory, wish.deployment_id
    memory.injuries.lasting(ill, lambda: memory.injuries.lose_route(ill))
    await ward.inspect(wish)
    await ward.skip_until(lambda: State.GIVEN_UP in ward.states, step=60)
    memory.injuries.end_lasting(ill)
    seen = len(ward.ledger.accounts)
    ward.record(wish, wanted=wish.model_copy(update={"number": 2}))
    await ward.look(wish)
    steady = await ward.told(State.STEADY, after=seen)
    assert (steady.number, steady.notice.by) == (2, Finder.WORKFLOW)
    assert memory.serving[ill] == 2


async def test_news_shorten_no_pause_and_what_is_new_is_treated_at_once(ward: Ward) -> None:
    wish = await ward.admit()
    memory, ill = ward.memory, wish.deployment_id
    database = names.database(wish.name, ill)
    memory.injuries.lasting(ill, lambda: memory.injuries.hurt(ill, Field.GRANTS, database, "revoked"))
    await ward.inspect(wish)
    await ward.told(State.BACKING_OFF)
    await ward.skip(2.5)
    second = await ward.told(State.BACKING_OFF, times=2)
    assert memory.calls["repair"] == 2
    for _ in range(5):
        await ward.inspect(wish)
        await ward.skip(0.5)
    assert memory.calls["repair"] == 2
    # As nothing new is said, nothing is told either.
    assert [one.next_try_at for one in ward.ledger.accounts if one.next_try_at][-1] == second.next_try_at
    memory.injuries.lose_route(ill)
    await ward.inspect(wish)
    await ward.skip(2)
    assert ward.remedies[-1] == "relink"
    assert memory.calls["repair"] == 3
    await ward.skip(3)
    await ward.told(State.BACKING_OFF, times=3)
    assert memory.calls["repair"] == 4


async def test_a_repair_that_the_plane_refuses_says_why(ward: Ward) -> None:
    wish = await ward.admit()
    ward.memory.injuries.lose_replica(wish.deployment_id)
    ward.memory.fail("repair", Refused(Code.OUT_OF_MEMORY, "It was killed: 512 MB were not enough."))
    await ward.inspect(wish)
    account = await ward.told(State.BACKING_OFF)
    assert "512 MB were not enough" in account.why
    await ward.skip(3)
    await ward.told(State.STEADY)


async def test_a_repair_that_fails_for_no_known_reason_is_never_given_up(ward: Ward) -> None:
    wish = await ward.admit()
    ward.memory.injuries.lose_replica(wish.deployment_id)
    ward.memory.fail("repair", *[ConnectionError("the plane's Postgres is away")] * 30)
    await ward.inspect(wish)
    await ward.skip_until(lambda: State.STEADY in ward.states, step=100)
    assert State.GIVEN_UP not in ward.states
    assert ward.memory.calls["repair"] == 31


async def test_report_tells_and_changes_nothing(ward: Ward) -> None:
    wish = await ward.admit()
    ward.policy(wish, Policy.REPORT)
    ward.memory.injuries.lose_replica(wish.deployment_id)
    await ward.inspect(wish)
    account = await ward.told(State.REPORTED)
    assert len(account.differences) == 1
    assert ward.memory.calls["repair"] == 0
    # The policy changes, and the workflow hears of it by any look.
    ward.policy(wish, Policy.REPAIR)
    await ward.look(wish)
    await ward.told(State.STEADY)
    assert ward.memory.calls["repair"] == 1


async def test_paused_does_not_even_look(ward: Ward) -> None:
    wish = await ward.admit()
    ward.policy(wish, Policy.PAUSED)
    ward.memory.injuries.lose_replica(wish.deployment_id)
    await ward.inspect(wish)
    await ward.told(State.PAUSED)
    assert ward.memory.calls["sight"] == 0


async def test_a_policy_that_changes_ends_a_pause(ward: Ward) -> None:
    wish = await ward.admit()
    memory, ill = ward.memory, wish.deployment_id
    memory.injuries.lasting(ill, lambda: memory.injuries.lose_route(ill))
    await ward.inspect(wish)
    await ward.told(State.BACKING_OFF)
    ward.policy(wish, Policy.REPORT)
    await ward.look(wish)
    await ward.told(State.REPORTED)
    assert memory.calls["repair"] == 1


async def test_what_died_and_runs_again_is_only_told(ward: Ward) -> None:
    wish = await ward.admit()
    name = names.server(wish.deployment_id, 1, 0)
    ward.memory.injuries.die_and_return(wish.deployment_id, name, Code.OUT_OF_MEMORY, "Killed")
    await ward.inspect(wish)
    account = await ward.told(State.STEADY)
    assert [(one.past, one.code, one.evidence) for one in account.differences] == [
        (True, Code.OUT_OF_MEMORY, "Killed")
    ]
    assert ward.memory.calls["repair"] == 0


async def test_while_older_servers_drain_none_is_too_many(ward: Ward) -> None:
    wish = await ward.admit()
    memory, ill = ward.memory, wish.deployment_id
    held = memory.hold("retire")
    ward.record(wish, wanted=wish.model_copy(update={"number": 2}))
    await ward.look(wish)
    await held.reached.wait()
    await ward.inspect(wish)
    await ward.told(State.STEADY)
    assert {one.revision for one in memory.replicas[ill].values()} == {1, 2}
    held.release()


async def test_a_server_nobody_asked_for_is_ended(ward: Ward) -> None:
    wish = await ward.admit()
    stranger = names.server(wish.deployment_id, 7, 0)
    ward.memory.injuries.add_replica(wish.deployment_id, stranger, 7)
    await ward.inspect(wish, Finder.SWEEP)
    await ward.told(State.STEADY)
    assert ward.remedies == ["end"]
    assert stranger not in ward.memory.replicas[wish.deployment_id]


async def test_deleting_gives_a_repair_up_and_waits_for_its_end(ward: Ward) -> None:
    wish = await ward.admit()
    ward.memory.injuries.lose_replica(wish.deployment_id)
    held = ward.memory.hold("repair")
    await ward.inspect(wish)
    await held.reached.wait()
    ward.record(wish, deleted=True, serving=None, wanted=wish)
    await ward.look(wish)
    await ward.entity(wish).result()
    assert ward.memory.cancelled["repair"] == 1
    assert ward.memory.replicas[wish.deployment_id] == {}


async def test_deleting_ends_a_pause(ward: Ward) -> None:
    wish = await ward.admit()
    memory, ill = ward.memory, wish.deployment_id
    memory.injuries.lasting(ill, lambda: memory.injuries.lose_route(ill))
    await ward.inspect(wish)
    await ward.told(State.BACKING_OFF)
    ward.record(wish, deleted=True, serving=None, wanted=wish)
    await ward.look(wish)
    await ward.entity(wish).result()
    assert memory.calls["repair"] == 1


async def test_a_rollout_goes_on_beside_a_repair_and_takes_its_place(ward: Ward) -> None:
    wish = await ward.admit()
    memory, ill = ward.memory, wish.deployment_id
    memory.injuries.lose_replica(ill)
    held = memory.hold("repair")
    await ward.inspect(wish)
    await held.reached.wait()
    ward.record(wish, wanted=wish.model_copy(update={"number": 2}))
    await ward.look(wish)
    steady = await ward.told(State.STEADY)
    assert steady.number == 2
    assert memory.cancelled["repair"] == 1
    assert memory.serving[ill] == 2


async def test_a_plane_that_was_away_does_what_is_wanted_now_and_once(client: Client) -> None:
    """On the real server: the other one forgets to cancel a step that waits in the queue."""
    ward = Ward(client)
    async with ward.working(plane=False):
        wish = await ward.admit()
        ward.memory.injuries.lose_replica(wish.deployment_id)
        for number in (2, 3, 4):
            ward.record(wish, wanted=wish.model_copy(update={"number": number}))
            await ward.look(wish)
            for _ in range(5):
                await ward.inspect(wish)
        async with ward.plane_working():
            await until(ward.runs_only(wish, 4))
    assert (ward.memory.calls["switch"], ward.memory.calls["retire"]) == (1, 1)
    assert ward.memory.calls["repair"] <= 1


async def test_whoever_lists_workflows_sees_what_is_repaired(client: Client) -> None:
    ward = Ward(client)
    async with ward.working():
        wish = await ward.admit()

        async def shown() -> Phase | None:
            found = (await ward.entity(wish).describe()).typed_search_attributes.get(names.PHASE)
            return Phase(found) if found else None

        async def resting() -> bool:
            return await shown() is Phase.RESTING

        async def repairing() -> bool:
            return await shown() is Phase.REPAIRING

        await until(resting)
        ward.memory.injuries.lose_replica(wish.deployment_id)
        held = ward.memory.hold("repair")
        await ward.inspect(wish)
        await held.reached.wait()
        await until(repairing)
        held.release()
        await until(resting)
        await ward.entity(wish).terminate()
