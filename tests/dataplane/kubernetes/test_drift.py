"""Whatever is done to a deployment on a real cluster from outside is told, called by its name, and put right in one
round, of which nobody is told."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from dataplane.kubernetes import names
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.kinds import DEPLOYMENT, INGRESS, POD, SECRET, SERVICE
from tests.dataplane.kubernetes.test_watch import Ear
from tests.dataplane.kubernetes.toy import SECRET_VALUE, ToyReplica, Yard, a_yard
from workflows.causes import Code
from workflows.drift import Field
from workflows.mending import treatments
from workflows.shapes import Resource, ResourceKind

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]

SOON = 4.0
"""Of the two seconds that it takes, on a machine that others share."""
TOLD = 20.0
"""Of what a node has to notice and to tell first."""


@asynccontextmanager
async def heard(yard: Yard) -> AsyncIterator[Ear]:
    # A watch that begins amid our own doing tells nobody of it; one that begins later and remembers nothing does.
    await yard.at_rest()
    ear = Ear()
    task = asyncio.create_task(ear.listen(yard.upkeep.watch()))
    try:
        await ear.hears(yard.wish.deployment_id, 10)
        yield ear
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def scale(yard: Yard, replicas: int) -> None:
    await yard.by_hand(DEPLOYMENT, yard.deployment, {"spec": {"replicas": replicas}})


async def container(yard: Yard, **edit: object) -> None:
    containers = [{"name": "server", **edit}]
    patch = {"spec": {"template": {"spec": {"containers": containers}}}}
    await yard.by_hand(DEPLOYMENT, yard.deployment, patch)


async def lose(yard: Yard, kind: object) -> None:
    place = {"Deployment": DEPLOYMENT, "Secret": SECRET, "Service": SERVICE, "Ingress": INGRESS}[str(kind)]
    found = await yard.cluster.all(place, names.of_deployment(yard.cluster.plane, yard.wish.deployment_id))
    for one in found:
        await yard.cluster.delete(place, one["metadata"]["name"])


async def abandon(yard: Yard) -> None:
    await yard.cluster.delete(DEPLOYMENT, yard.deployment, propagation="Orphan")


async def edit_secret(yard: Yard) -> None:
    (secret,) = await yard.cluster.all(SECRET, names.of_revision(yard.cluster.plane, yard.wish))
    await yard.by_hand(SECRET, secret["metadata"]["name"], {"stringData": {"PASSWORD": "other", "MORE": "x"}})


async def steal(yard: Yard) -> None:
    await yard.by_hand(SERVICE, yard.slug, {"spec": {"selector": {"app": "somebody-else"}}})


async def mislead(yard: Yard) -> None:
    await yard.by_hand(SERVICE, yard.slug, {"spec": {"selector": {names.REVISION: "99"}}})


async def move_port(yard: Yard) -> None:
    ports = [{"port": 8000, "protocol": "TCP", "name": "http", "targetPort": 9000}]
    await yard.by_hand(SERVICE, yard.slug, {"spec": {"ports": ports}})


async def move_door(yard: Yard) -> None:
    await yard.by_hand(INGRESS, yard.slug, {"spec": {"rules": [{"host": "elsewhere.test"}]}})


@dataclass(frozen=True)
class Injury:
    """What is done, what is said of it, and what of it is the field's own words."""

    inflict: Callable[[Yard], Awaitable[None]]
    field: Field
    says: str = ""


INJURIES = {
    "image edited": Injury(
        lambda y: container(y, image="nowhere/app:1"), Field.IMAGE, "written down as nowhere"
    ),
    "scaled to none": Injury(lambda y: scale(y, 0), Field.PROCESS, "missing"),
    "scaled up": Injury(lambda y: scale(y, 3), Field.EXTRA),
    "Deployment deleted": Injury(lambda y: lose(y, "Deployment"), Field.PROCESS, "missing"),
    "Deployment abandoned": Injury(abandon, Field.ENVIRONMENT, "Deployment is missing"),
    "variable added": Injury(
        lambda y: container(y, env=[{"name": "DEBUG", "value": "1"}]), Field.ENVIRONMENT, "env[DEBUG]"
    ),
    "limit changed": Injury(
        lambda y: container(y, resources={"limits": {"memory": "256Mi"}}), Field.ENVIRONMENT, "limits.memory"
    ),
    "field put beside ours": Injury(lambda y: container(y, tty=True), Field.ENVIRONMENT, "tty"),
    "Secret deleted": Injury(lambda y: lose(y, "Secret"), Field.ENVIRONMENT, "Secret is missing"),
    "Secret edited": Injury(edit_secret, Field.ENVIRONMENT, "Secret MORE, PASSWORD"),
    "Service deleted": Injury(lambda y: lose(y, "Service"), Field.LINK, "missing"),
    "Ingress deleted": Injury(lambda y: lose(y, "Ingress"), Field.ROUTE, "missing"),
    "selector stolen": Injury(steal, Field.LINK, "to others: app=somebody-else"),
    "led to nobody": Injury(mislead, Field.LINK, "revision 99"),
    "port moved": Injury(move_port, Field.LINK, "but otherwise: spec.ports"),
    "door moved": Injury(move_door, Field.ROUTE, "open otherwise"),
}


@pytest.mark.parametrize("name", INJURIES)
async def test_an_injury_is_told_and_healed(cluster: Cluster, name: str) -> None:
    injury = INJURIES[name]
    async with a_yard(cluster) as yard, heard(yard) as ear:
        assert await yard.present() == []
        await injury.inflict(yard)
        await ear.hears(yard.wish.deployment_id, SOON)
        found = await yard.until(lambda found: injury.field in {one.field for one in found if not one.past})
        (said,) = [one for one in found if one.field is injury.field][:1]
        assert injury.says in said.seen
        assert SECRET_VALUE not in str(found)
        await yard.upkeep.repair(yard.wish, treatments([one for one in found if not one.past], {}), print)
        assert await yard.present() == []
        (pod,) = await yard.pods()
        assert await ToyReplica(yard.wish, pod["status"]["podIP"]).health(None) == "answers"  # type: ignore[arg-type]
        ear.told.clear()
        await ear.hears_nothing()


async def test_a_death_is_told_with_its_last_words(cluster: Cluster) -> None:
    async with a_yard(cluster) as yard, heard(yard) as ear:
        (pod,) = await yard.pods()
        await ToyReplica(yard.wish, pod["status"]["podIP"]).send("/die")
        await ear.hears(yard.wish.deployment_id, TOLD)
        found = await yard.until(lambda found: any(one.past for one in found))
        (past,) = [one for one in found if one.past]
        assert (past.field, past.seen) == (Field.PROCESS, "exit status 3")
        assert "about to die of •••" in past.evidence
        assert SECRET_VALUE not in str(found)
        # The kubelet begins it again.
        await yard.until(lambda found: all(one.past for one in found))


async def test_one_that_hangs_is_waited_for_and_then_replaced(cluster: Cluster) -> None:
    async with a_yard(cluster) as yard, heard(yard) as ear:
        (pod,) = await yard.pods()
        await ToyReplica(yard.wish, pod["status"]["podIP"]).send("/hang")
        found = await yard.until(lambda found: Field.ANSWER in {one.field for one in found})
        await ear.hears(yard.wish.deployment_id, TOLD)
        (ill,) = [one for one in found if one.field is Field.ANSWER]
        assert ill.seen.startswith("silent")
        todo = treatments([ill], {ill.key: 1})
        await yard.upkeep.repair(yard.wish, todo, print)
        assert await yard.present() == []
        (other,) = await yard.pods()
        assert other["metadata"]["uid"] != pod["metadata"]["uid"]


async def test_a_pod_that_is_deleted_is_replaced_without_us(cluster: Cluster) -> None:
    async with a_yard(cluster, replicas=2) as yard, heard(yard) as ear:
        (pod, _) = await yard.pods()
        await yard.cluster.delete(POD, pod["metadata"]["name"])
        await ear.hears(yard.wish.deployment_id, SOON)
        found = await yard.present()
        await yard.upkeep.repair(yard.wish, treatments(found, {}), print)
        assert await yard.present() == []


async def test_servers_are_replaced_one_by_one_while_one_always_serves(cluster: Cluster) -> None:
    async with a_yard(cluster, replicas=2) as yard:
        before = {pod["metadata"]["uid"] for pod in await yard.pods()}
        least = 2

        async def look() -> None:
            nonlocal least
            while True:
                least = min(least, len(await yard.pods()))
                await asyncio.sleep(0.05)

        looking = asyncio.create_task(look())
        from workflows.mending import Remedy, Treatment

        await yard.upkeep.repair(yard.wish, [Treatment(remedy=Remedy.RESTART)], print)
        looking.cancel()
        assert not before & {pod["metadata"]["uid"] for pod in await yard.pods()}
        assert least == 2
        assert await yard.present() == []


async def test_a_node_that_is_drained_is_not_fought(cluster: Cluster) -> None:
    """What is evicted finds no place, which is said; it is not ended or made again meanwhile."""
    async with a_yard(cluster) as yard, heard(yard) as ear:
        (pod,) = await yard.pods()
        node = pod["spec"]["nodeName"]
        path = f"/api/v1/nodes/{node}"
        content = "application/merge-patch+json"
        try:
            await cluster.ask("PATCH", path, body={"spec": {"unschedulable": True}}, content=content)
            eviction = {
                "apiVersion": "policy/v1beta1",
                "kind": "Eviction",
                "metadata": {"name": pod["metadata"]["name"], "namespace": cluster.namespace},
            }
            place = await cluster.path(POD, pod["metadata"]["name"], None)
            await cluster.ask("POST", f"{place}/eviction", body=eviction)
            await ear.hears(yard.wish.deployment_id, SOON)
            found = await yard.until(lambda found: any(one.seen == "without a node" for one in found), 15)
            (waits,) = [one for one in found if one.seen == "without a node"]
            assert (waits.field, waits.code) == (Field.PROCESS, Code.UNSCHEDULABLE)
            assert "unschedulable" in waits.evidence
            (fresh,) = await yard.pods()
            repairing = asyncio.create_task(yard.upkeep.repair(yard.wish, treatments([waits], {}), print))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(repairing), 2)
            assert [one["metadata"]["uid"] for one in await yard.pods()] == [fresh["metadata"]["uid"]]
        finally:
            await cluster.ask("PATCH", path, body={"spec": {"unschedulable": None}}, content=content)
        await repairing
        assert await yard.present() == []


async def test_an_image_that_is_gone_is_built_again(cluster: Cluster) -> None:
    async with a_yard(cluster) as yard:
        yard.toy.there = False
        (gone,) = await yard.present()
        assert (gone.field, gone.seen) == (Field.BUNDLE, "missing")
        await yard.upkeep.repair(yard.wish, treatments([gone], {}), print)
        assert await yard.present() == []


async def test_a_survey_says_the_same_of_all_of_it(cluster: Cluster) -> None:
    async with a_yard(cluster, replicas=2) as yard:
        (page,) = [page async for page in yard.upkeep.observe_all()]
        (seen,) = page.seen
        from workflows.drift import compare

        assert compare(yard.wish, seen.facts, frozenset(page.looked)) == []
        wanted = {(ResourceKind.ROUTE, yard.slug)}
        wanted |= {(ResourceKind.PROCESS, f"{yard.deployment}-{index}") for index in range(2)}
        assert {(one.kind, one.name) for one in seen.resources} == wanted
        await scale(yard, 0)
        await lose(yard, "Ingress")
        await yard.until(lambda found: len([one for one in found if not one.past]) >= 3)
        (page,) = [page async for page in yard.upkeep.observe_all()]
        found = compare(yard.wish, page.seen[0].facts, frozenset(page.looked))
        assert {one.field for one in found} >= {Field.PROCESS, Field.ROUTE}


async def test_orphans_go_by_name_and_nothing_else_does(cluster: Cluster) -> None:
    async with a_yard(cluster) as yard:
        for kind, name in (
            (ResourceKind.PROCESS, "server-0badc0de-1-0"),
            (ResourceKind.ROUTE, "nobody-0badc0de"),
            (ResourceKind.REDIS, "redis-0badc0de"),
        ):
            await yard.upkeep.remove_orphan(Resource(kind=kind, name=name))
        assert await yard.present() == []
        for resource in (
            Resource(kind=ResourceKind.PROCESS, name=f"{yard.deployment}-0"),
            Resource(kind=ResourceKind.ROUTE, name=yard.slug),
        ):
            await yard.upkeep.remove_orphan(resource)
        (page,) = [page async for page in yard.upkeep.observe_all()]
        assert page.seen == []
