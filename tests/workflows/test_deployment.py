"""The life of a deployment, told by its records, its plane and its workflow."""

import pytest

from dataplane.memory import Memory
from records import event, plane
from records.event import EventKind
from records.specification import Environment
from tests.workflows.yard import Yard, until
from workflows import names
from workflows.causes import Code, Refused
from workflows.shapes import DeploymentStatus, PlaneKind, RevisionStatus, SourceKind
from workflows.surveys import Beat

S = RevisionStatus
FIRST = ("preflight", "build", "provision", "apply", "await_ready", "prove", "switch")
NO_BUILD = ("build", "provision", "apply", "await_ready", "prove", "switch", "retire", "collect")


async def test_a_first_deploy(yard: Yard) -> None:
    row = await yard.deploy()
    assert await yard.ended(row, 1) is S.DEPLOYED
    found = await yard.row(row)
    assert found is not None
    assert found.status is DeploymentStatus.READY
    assert found.url == f"http://127.0.0.1:4747/d/{found.slug}"
    assert (yard.memory.serving[row.id], yard.running(row)) == (1, [1])
    await yard.settled(row)
    assert yard.memory.calls == dict.fromkeys(FIRST, 1)


async def test_new_code_takes_over_and_the_old_replicas_go(yard: Yard) -> None:
    row = await yard.deploy()
    assert await yard.ended(row, 1) is S.DEPLOYED
    draining = yard.memory.hold("retire")
    number = await yard.redeploy(row, b"two")
    assert await yard.ended(row, number) is S.DEPLOYED
    await draining.reached.wait()
    assert (yard.memory.serving[row.id], yard.running(row)) == (2, [1, 2])
    draining.release()
    await yard.settled(row)
    assert yard.running(row) == [2]
    assert await yard.there(row) == [names.server(row.id, 2, 0)]


async def test_a_drain_holds_no_rollout_up(yard: Yard) -> None:
    row = await yard.deploy()
    await yard.ended(row, 1)
    draining = yard.memory.hold("retire")
    assert await yard.ended(row, await yard.redeploy(row, b"two")) is S.DEPLOYED
    await draining.reached.wait()
    for number in (3, 4):
        await yard.redeploy(row, str(number).encode())
        assert await yard.ended(row, number) is S.DEPLOYED
    assert yard.running(row) == [1, 2, 3, 4]
    draining.release()
    await yard.settled(row)
    assert yard.running(row) == [4]
    assert yard.memory.calls["retire"] == 2


async def test_secrets_only_needs_no_build(yard: Yard) -> None:
    row = await yard.deploy()
    await yard.ended(row, 1)
    yard.memory.calls.clear()
    number = await yard.redeploy(row, environment=Environment("other sealed values"))
    assert await yard.ended(row, number) is S.DEPLOYED
    await yard.settled(row)
    assert yard.memory.calls == dict.fromkeys(NO_BUILD, 1)
    assert len(yard.memory.images) == 1
    first, second = [await yard.revision(row, one) for one in (1, 2)]
    assert first.image_id == second.image_id


async def test_an_image_that_went_missing_is_built_again(yard: Yard) -> None:
    row = await yard.deploy()
    await yard.ended(row, 1)
    yard.memory.images.clear()
    number = await yard.redeploy(row, environment=Environment("other sealed values"))
    assert await yard.ended(row, number) is S.DEPLOYED
    assert len(yard.memory.images) == 1


async def test_every_replica_runs(yard: Yard) -> None:
    row = await yard.create(b"one")
    await yard.redeploy(row, source_config={"resource_spec": {"min_scale": 3}}, content=b"two")
    assert await yard.ended(row, 2) is S.DEPLOYED
    assert yard.running(row) == [2, 2, 2]


@pytest.mark.parametrize("source", [SourceKind.EXTERNAL_DOCKER, SourceKind.INTERNAL_DOCKER])
async def test_a_container_image_is_refused_at_once(yard: Yard, source: SourceKind) -> None:
    row = await yard.create()
    image = {"image_uri": "registry.example/agent:1"}
    number = await yard.redeploy(row, source=source, source_revision_config=image)
    assert await yard.ended(row, number) is S.CREATE_FAILED
    assert (await yard.cause(row, number)).code is Code.NOT_ON_THIS_PLANE
    assert await yard.ended(row, 1) is S.SKIPPED
    await yard.settled(row)
    assert yard.memory.calls == {}


@pytest.mark.parametrize("source", [SourceKind.EXTERNAL_DOCKER, SourceKind.INTERNAL_DOCKER])
async def test_a_cluster_runs_a_container_image(yard: Yard, source: SourceKind) -> None:
    async with yard.sessions.begin() as session:
        await plane.beat(session, Beat(plane=yard.plane.name, kind=PlaneKind.KUBERNETES))
    row = await yard.create()
    image = {"image_uri": "registry.example/agent:1"}
    number = await yard.redeploy(row, source=source, source_revision_config=image)
    assert await yard.ended(row, number) is S.DEPLOYED
    await yard.settled(row)
    assert yard.memory.calls == dict.fromkeys(NO_BUILD, 1)
    async with yard.sessions() as session:
        told = await event.listed(session, row.id)
    went = [one.after for one in told if one.number == number and one.kind == EventKind.REVISION_STATUS]
    assert went == [S.QUEUED, S.AWAITING_DEPLOY, S.DEPLOYING, S.DEPLOYED]
    assert any("is what registry.example/agent:1 names now" in one.message for one in told)


async def test_an_image_that_is_not_to_be_had_is_no_failed_build(yard: Yard) -> None:
    async with yard.sessions.begin() as session:
        await plane.beat(session, Beat(plane=yard.plane.name, kind=PlaneKind.KUBERNETES))
    yard.memory.fail("build", Refused(Code.IMAGE_REFUSED, "It is not there.", "Push it."))
    row = await yard.create()
    image = {"image_uri": "registry.example/agent:1"}
    number = await yard.redeploy(row, source=SourceKind.EXTERNAL_DOCKER, source_revision_config=image)
    assert await yard.ended(row, number) is S.DEPLOY_FAILED
    assert (await yard.cause(row, number)).code is Code.IMAGE_REFUSED


async def test_what_passes_is_tried_again(yard: Yard) -> None:
    for step in FIRST:
        yard.memory.fail(step, ConnectionError("the plane is away"))
    row = await yard.deploy()
    assert await yard.ended(row, 1) is S.DEPLOYED
    assert {step: yard.memory.calls[step] for step in FIRST} == dict.fromkeys(FIRST, 2)


async def test_deleting_leaves_nothing(yard: Yard) -> None:
    row = await yard.deploy()
    await yard.ended(row, 1)
    yard.memory.fresh.clear()
    await yard.delete(row)
    await yard.gone(row)
    assert await yard.row(row) is None
    assert await yard.there(row) == []
    assert_empty(yard.memory)
    assert yard.memory.images == {}


async def test_deleting_goes_on_until_a_look_finds_nothing(yard: Yard) -> None:
    row = await yard.deploy()
    await yard.ended(row, 1)
    yard.memory.stubborn.add(row.id)
    await yard.delete(row)

    async def tried() -> bool:
        return yard.memory.calls["remove"] >= 2

    await until(tried)
    assert await yard.row(row) is not None
    yard.memory.stubborn.clear()
    await yard.gone(row)
    assert await yard.row(row) is None
    assert_empty(yard.memory)


async def test_deleting_does_not_wait_for_a_drain(yard: Yard) -> None:
    row = await yard.deploy()
    await yard.ended(row, 1)
    draining = yard.memory.hold("retire")
    await yard.ended(row, await yard.redeploy(row, b"two"))
    await draining.reached.wait()
    await yard.delete(row)
    await yard.gone(row)
    assert yard.memory.cancelled["retire"] == 1
    assert_empty(yard.memory)


async def test_deleting_before_anything_was_done(yard: Yard) -> None:
    row = await yard.create()
    await yard.delete(row)
    await yard.gone(row)
    assert await yard.row(row) is None
    assert yard.memory.calls["build"] == 0


async def test_a_nudge_for_what_is_gone_ends_by_itself(yard: Yard) -> None:
    row = await yard.deploy()
    await yard.ended(row, 1)
    await yard.delete(row)
    await yard.gone(row)
    await yard.nudge(row)
    await yard.gone(row)


async def test_images_nobody_needs_are_collected(yard: Yard) -> None:
    row = await yard.deploy(b"0")
    await yard.ended(row, 1)
    for number in range(2, 13):
        await yard.redeploy(row, str(number).encode())
        assert await yard.ended(row, number) is S.DEPLOYED
    await yard.settled(row)
    assert len(yard.memory.images) == 12
    yard.memory.fresh.clear()
    assert await yard.ended(row, await yard.redeploy(row, b"13")) is S.DEPLOYED
    await yard.settled(row)
    assert len(yard.memory.images) == 10


def assert_empty(memory: Memory) -> None:
    assert not any(memory.replicas.values())
    assert (memory.serving, dict(memory.owned)) == ({}, {})


async def test_the_largest_environment_there_may_be(yard: Yard) -> None:
    """Sealed it is a third larger, and it travels to every step: Temporal must still carry it."""
    sealed = "x" * (256 * 1024 * 4 // 3)
    row = await yard.create()
    number = await yard.redeploy(row, environment=Environment(sealed), content=b"one")
    assert await yard.ended(row, number) is S.DEPLOYED
