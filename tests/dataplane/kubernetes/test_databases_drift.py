"""What people do to a deployment's Valkey and Postgres on a cluster: seen, and put right with what they hold."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from dataplane.kubernetes import names
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.kinds import NETWORK_POLICY, POD, SECRET, SERVICE, STATEFUL_SET, Kind
from dataplane.valkey.client import Trouble, connected
from tests.dataplane.kubernetes.databases import REDIS_WORD, Yard, until, yard
from workflows.drift import Field
from workflows.shapes import Wish

pytestmark = pytest.mark.timeout(240)
MERGE = "application/merge-patch+json"


@dataclass
class It:
    """One deployment's, and what a test does to it."""

    yard: Yard
    wish: Wish

    @property
    def redis(self) -> str:
        return names.redis(self.wish.deployment_id)

    @property
    def postgres(self) -> str:
        return names.postgres(self.wish.deployment_id)

    async def patch(self, kind: Kind, name: str, body: dict[str, object]) -> None:
        """By hand: under another manager's name."""
        path = await self.yard.cluster.path(kind, name, None)
        query = {"fieldManager": "somebody"}
        await self.yard.cluster.ask("PATCH", path, query=query, body=body, content=MERGE)

    async def pod(self, name: str) -> str:
        found = await self.yard.cluster.get(POD, f"{name}-0")
        assert found is not None
        return str(found["metadata"]["uid"])

    async def say(self, *commands: tuple[str, ...]) -> list[object]:
        found = await self.yard.cluster.get(POD, f"{self.redis}-0")
        assert found is not None
        async with connected((found["status"]["podIP"], 6379)) as client:
            answers = await client.ask(("AUTH", "default", REDIS_WORD), *commands)
        assert not any(isinstance(one, Trouble) for one in answers), answers
        return list(answers[1:])


async def another_password(it: It) -> None:
    await it.say(("CONFIG", "SET", "requirepass", "another"))


async def second_user(it: It) -> None:
    await it.say(("ACL", "SETUSER", "guest", "on", "nopass", "~*", "+@all"))


async def no_password(it: It) -> None:
    await it.say(("ACL", "SETUSER", "default", "nopass"))


async def appending_off(it: It) -> None:
    await it.say(("CONFIG", "SET", "appendonly", "no"))


async def following(it: It) -> None:
    await it.say(("REPLICAOF", "127.0.0.1", "1"))


async def scaled(it: It) -> None:
    await it.patch(STATEFUL_SET, it.redis, {"spec": {"replicas": 0}})

    async def gone() -> bool:
        return await it.yard.cluster.get(POD, f"{it.redis}-0") is None

    await until(gone)


async def edited(it: It) -> None:
    """What somebody put beside what is ours, which no apply takes away."""
    await it.patch(STATEFUL_SET, it.redis, {"spec": {"template": {"spec": {"shareProcessNamespace": True}}}})


async def without_secret(it: It) -> None:
    await it.yard.cluster.delete(SECRET, it.redis)


async def another_secret(it: It) -> None:
    await it.patch(SECRET, it.redis, {"data": {"valkey.conf": "bm9uc2Vuc2UK"}})


async def stolen(it: It) -> None:
    await it.patch(SERVICE, it.redis, {"spec": {"selector": {"app": "somebody"}}})


async def without_service(it: It) -> None:
    await it.yard.cluster.delete(SERVICE, it.redis)


async def without_set(it: It) -> None:
    await it.yard.cluster.delete(STATEFUL_SET, it.redis)


async def without_pod(it: It) -> None:
    await it.yard.cluster.delete(POD, f"{it.redis}-0")


@dataclass(frozen=True)
class Injury:
    inflict: Callable[[It], Awaitable[None]]
    field: Field
    sees: tuple[str, ...]
    keeps: bool = True
    """Whether what its memory held is there after the repair, without a volume."""


INJURIES = (
    Injury(another_password, Field.REDIS_PASSWORD, ("another",), keeps=False),
    Injury(second_user, Field.REDIS_PASSWORD, ("not the only way in",)),
    Injury(no_password, Field.REDIS_PASSWORD, ("not asked for",)),
    Injury(appending_off, Field.PERSISTENCE, ("off",)),
    Injury(following, Field.REDIS, ("a replica of another",)),
    Injury(scaled, Field.REDIS, ("scaled to 0",), keeps=False),
    Injury(edited, Field.REDIS, ("stopping", "of an older description", "starting"), keeps=False),
    Injury(without_secret, Field.PERSISTENCE, ("without its configuration",)),
    Injury(another_secret, Field.PERSISTENCE, ("with another configuration",)),
    Injury(stolen, Field.REDIS, ("behind a service that leads elsewhere",)),
    Injury(without_service, Field.REDIS, ("without its service",)),
    Injury(without_set, Field.REDIS, ("missing",), keeps=False),
    Injury(without_pod, Field.REDIS, ("stopping", "starting", "without its pod"), keeps=False),
)


@pytest.fixture
async def valkey(cluster: Cluster, keys: Path) -> AsyncIterator[It]:
    async with yard(cluster, keys) as made:
        wish = made.wish(custom_postgres=True)
        await made.databases.provision(wish)
        yield It(made, wish)


@pytest.mark.parametrize("injury", INJURIES, ids=lambda one: one.inflict.__name__)
async def test_a_valkey_is_put_right(valkey: It, injury: Injury) -> None:
    wish, valkeys = valkey.wish, valkey.yard.databases.valkeys
    await valkey.say(("SET", "run", "queued"))

    async def differs() -> bool:
        return (await valkeys.facts(wish)) != whole

    whole = await valkeys.facts(wish)
    uid = await valkey.pod(valkey.redis)
    await injury.inflict(valkey)
    await until(differs)
    seen = {one.field: one.seen for one in await valkeys.facts(wish)}
    assert seen[injury.field] in injury.sees
    await valkey.yard.databases.provision(wish)
    assert await valkeys.facts(wish) == whole
    assert (await valkey.pod(valkey.redis) == uid) is injury.keeps
    assert await valkey.say(("GET", "run")) == [b"queued" if injury.keeps else None]


async def test_a_volume_outlives_the_pod(cluster: Cluster, keys: Path) -> None:
    """And somebody who deletes the StatefulSet, not the volume."""
    async with yard(cluster, keys) as made:
        it = It(made, made.wish(custom_postgres=True, production=True))
        await made.databases.provision(it.wish)
        await it.say(("SET", "run", "queued"))
        await without_set(it)
        await made.databases.provision(it.wish)
        assert await it.say(("GET", "run")) == [b"queued"]
        await made.databases.remove(it.wish)
        assert await made.all() == []


async def test_one_that_becomes_production_gets_a_volume(valkey: It) -> None:
    wish = valkey.wish.model_copy(update={"production": True})
    await valkey.yard.databases.provision(wish)
    assert {one.field: one.seen for one in await valkey.yard.databases.valkeys.facts(wish)} == {
        Field.REDIS: "running",
        Field.REDIS_PASSWORD: "as wished",
        Field.PERSISTENCE: "as wished",
    }


async def scaled_postgres(it: It) -> str:
    await it.patch(STATEFUL_SET, it.postgres, {"spec": {"replicas": 0}})
    return "scaled to 0"


async def stolen_postgres(it: It) -> str:
    await it.patch(SERVICE, it.postgres, {"spec": {"selector": {"app": "somebody"}}})
    return "behind a service that leads elsewhere"


async def another_postgres_password(it: It) -> str:
    """Its Secret is lost, and with it what nobody else knows."""
    await it.yard.cluster.delete(SECRET, it.postgres)
    return "without its secret"


@pytest.fixture
async def postgres(cluster: Cluster, keys: Path) -> AsyncIterator[It]:
    async with yard(cluster, keys) as made:
        wish = made.wish(custom_redis=True)
        await made.databases.provision(wish)
        yield It(made, wish)


async def test_a_postgres_is_put_right(postgres: It) -> None:
    wish, databases = postgres.wish, postgres.yard.databases
    for inflict in (stolen_postgres, another_postgres_password, scaled_postgres):
        seen = await inflict(postgres)
        assert (await postgres.yard.differing(wish))[Field.DATABASE] == seen
        await databases.provision(wish)
        assert (await postgres.yard.differing(wish))[Field.DATABASE] == "empty"


async def test_policies_are_put_right(valkey: It) -> None:
    await valkey.patch(NETWORK_POLICY, valkey.redis, {"spec": {"ingress": [{}]}})
    await valkey.yard.databases.provision(valkey.wish)
    found = await valkey.yard.cluster.get(NETWORK_POLICY, valkey.redis)
    assert found is not None
    assert len(found["spec"]["ingress"][0]["from"]) == 2
