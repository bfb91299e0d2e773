"""Every way in which a workflow can end, as short stories; each answers which histories to keep, by name."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from uuid import uuid4

from records.deployment import Deployment as Row
from tests.workflows.ward import Ward
from tests.workflows.yard import Yard, until
from worker.schedules import keep_watch
from workflows import names
from workflows.accounts import Finder, Notice
from workflows.causes import Code, Refused
from workflows.mending import State
from workflows.shapes import Policy, SourceKind
from workflows.sweep import Sweep

Ids = dict[str, str]
"""Names of histories, and the workflows they are of."""


async def deployed(yard: Yard) -> Ids:
    """Two deploys, the second by secrets only, and a deletion: a whole life."""
    row = await yard.deploy()
    await yard.ended(row, 1)
    number = await yard.redeploy(row, source_config={"resource_spec": {"min_scale": 2}})
    await yard.ended(row, number)
    await yard.settled(row)
    await yard.delete(row)
    await yard.gone(row)
    return {
        "deployment-whole-life": names.deployment_workflow(row.id),
        "rollout-deployed": names.rollout_workflow(row.id, 1, 1),
        "rollout-deployed-without-build": names.rollout_workflow(row.id, number, 1),
        "removal": names.removal_workflow(row.id),
    }


async def failed(yard: Yard, step: str, name: str) -> Ids:
    yard.memory.fail(step, Refused(Code.INTERNAL, "It broke.", "Mend it."))
    row = await yard.deploy()
    await yard.ended(row, 1)
    return _rollout(row, name)


async def build_failed(yard: Yard) -> Ids:
    return await failed(yard, "build", "rollout-build-failed")


async def provision_failed(yard: Yard) -> Ids:
    return await failed(yard, "provision", "rollout-provision-failed")


async def proof_failed(yard: Yard) -> Ids:
    return await failed(yard, "prove", "rollout-proof-failed")


async def switch_failed(yard: Yard) -> Ids:
    return await failed(yard, "switch", "rollout-switch-failed")


async def superseded(yard: Yard) -> Ids:
    held = yard.memory.hold("build")
    row = await yard.deploy()
    await held.reached.wait()
    await yard.redeploy(row, b"two")
    await yard.ended(row, 1)
    held.release()
    await yard.ended(row, 2)
    await yard.settled(row)
    await yard.delete(row)
    await yard.gone(row)
    return {
        **_rollout(row, "rollout-superseded"),
        "deployment-superseded": names.deployment_workflow(row.id),
    }


async def interrupted(yard: Yard) -> Ids:
    held = yard.memory.hold("await_ready")
    row = await yard.deploy()
    await held.reached.wait()
    await yard.interrupt(row, 1)
    await yard.ended(row, 1)
    return _rollout(row, "rollout-interrupted")


async def too_late(yard: Yard) -> Ids:
    """Asked to end after the switch had begun."""
    held = yard.memory.hold("switch")
    row = await yard.deploy()
    await held.reached.wait()
    await yard.redeploy(row, b"two")
    await yard.asked_to_end(row, 1)
    held.release()
    await yard.ended(row, 1)
    return _rollout(row, "rollout-past-its-switch")


async def refused(yard: Yard) -> Ids:
    row = await yard.deploy(source=SourceKind.EXTERNAL_DOCKER)
    await yard.ended(row, 1)
    return _rollout(row, "rollout-refused")


async def deleted_while_draining(yard: Yard) -> Ids:
    row = await yard.deploy()
    await yard.ended(row, 1)
    held = yard.memory.hold("retire")
    await yard.redeploy(row, b"two")
    await held.reached.wait()
    await yard.delete(row)
    await yard.gone(row)
    return {"deployment-deleted-while-draining": names.deployment_workflow(row.id)}


async def removed_in_the_end(yard: Yard) -> Ids:
    row = await yard.deploy()
    await yard.ended(row, 1)
    yard.memory.stubborn.add(row.id)
    held = yard.memory.hold("remove")
    await yard.delete(row)
    await held.reached.wait()
    held.release()
    await yard.removal_paused(row)
    yard.memory.stubborn.clear()
    await yard.gone(row)
    return {"removal-tried-again": names.removal_workflow(row.id)}


async def mended(yard: Yard) -> Ids:
    """Twice ill, seen by the watch and by the sweep, in between a rollout; then deleted."""
    watch = names.watch_workflow(yard.plane.name)
    await keep_watch(yard.client, yard.plane.name)
    row = await yard.deploy()
    await yard.ended(row, 1)
    yard.memory.injuries.lose_replica(row.id)
    await yard.standing(row, State.STEADY)
    await yard.redeploy(row, b"two")
    await yard.ended(row, 2)
    await yard.settled(row)
    yard.memory.injuries.lead_astray(row.id, 1)
    sweep = f"sweep-{uuid4()}"
    await yard.client.execute_workflow(Sweep.run, yard.plane.name, id=sweep, task_queue=names.CONTROL)

    async def led_back() -> bool:
        return yard.memory.serving[row.id] == 2

    await until(led_back)
    await yard.settled(row)
    await yard.delete(row)
    await yard.gone(row)
    return {
        "deployment-mended": names.deployment_workflow(row.id),
        "sweep-that-found-something": sweep,
        "watch": watch,
    }


async def deleted_while_mending(yard: Yard) -> Ids:
    row = await yard.deploy()
    await yard.ended(row, 1)
    held = yard.memory.hold("repair")
    yard.memory.injuries.lose_replica(row.id)
    await yard.nudge.inspect(row, Notice(by=Finder.PERSON, at=datetime.now(UTC)))
    await held.reached.wait()
    await yard.delete(row)
    await yard.gone(row)
    return {"deployment-deleted-while-mending": names.deployment_workflow(row.id)}


async def outdone_while_mending(yard: Yard) -> Ids:
    row = await yard.deploy()
    await yard.ended(row, 1)
    held = yard.memory.hold("repair")
    yard.memory.injuries.lose_replica(row.id)
    await yard.nudge.inspect(row, Notice(by=Finder.WATCH, at=datetime.now(UTC)))
    await held.reached.wait()
    await yard.redeploy(row, b"two")
    await yard.ended(row, 2)
    await yard.standing(row, State.STEADY)
    await yard.settled(row)
    await yard.delete(row)
    await yard.gone(row)
    return {"deployment-outdone-while-mending": names.deployment_workflow(row.id)}


async def swept(yard: Yard) -> Ids:
    row, name = await yard.create(), f"sweep-{uuid4()}"
    await yard.client.execute_workflow(Sweep.run, yard.plane.name, id=name, task_queue=names.CONTROL)
    await yard.ended(row, 1)
    return {"sweep": name}


def _rollout(row: Row, name: str) -> Ids:
    return {name: names.rollout_workflow(row.id, 1, 1)}


ENDINGS: dict[str, Callable[[Yard], Awaitable[Ids]]] = {
    story.__name__: story
    for story in (
        deployed,
        build_failed,
        provision_failed,
        proof_failed,
        switch_failed,
        superseded,
        interrupted,
        too_late,
        refused,
        deleted_while_draining,
        removed_in_the_end,
        mended,
        deleted_while_mending,
        outdone_while_mending,
        swept,
    )
}


async def given_up(ward: Ward) -> Ids:
    """Seven repairs in vain, a policy that changes, a person who asks, and a deletion."""
    wish = await ward.admit()
    ill, injuries = wish.deployment_id, ward.memory.injuries
    injuries.lasting(ill, lambda: injuries.lose_replica(ill))
    await ward.inspect(wish)
    await ward.skip_until(lambda: State.GIVEN_UP in ward.states, step=60)
    ward.policy(wish, Policy.REPORT)
    await ward.look(wish)
    await ward.told(State.REPORTED)
    injuries.end_lasting(ill)
    ward.policy(wish, Policy.REPAIR)
    await ward.inspect(wish, Finder.PERSON)
    await ward.told(State.STEADY)
    ward.record(wish, deleted=True, serving=None, wanted=wish)
    await ward.look(wish)
    await ward.entity(wish).result()
    return {"deployment-given-up": names.deployment_workflow(ill)}


WARD_ENDINGS: dict[str, Callable[[Ward], Awaitable[Ids]]] = {"given_up": given_up}
"""Those that take long, on a clock that is skipped."""
