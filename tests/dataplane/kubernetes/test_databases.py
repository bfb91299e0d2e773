"""A cluster's databases, on a real one: made once, found again, put right, gone without a trace."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from dataplane.kubernetes.cluster import Cluster
from tests.dataplane.kubernetes.databases import Yard, a_server, yard
from workflows import names
from workflows.drift import Field
from workflows.shapes import ResourceKind, Wish

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
async def own(cluster: Cluster, keys: Path) -> AsyncIterator[Yard]:
    async with yard(cluster, keys) as made:
        yield made


@pytest.fixture
async def shared(cluster: Cluster, keys: Path) -> AsyncIterator[Yard]:
    async with a_server(cluster, keys) as database, yard(cluster, keys, database) as made:
        yield made


def durable(wish: Wish) -> list[tuple[ResourceKind, str]]:
    wanted = names.durable_resources(wish)
    return sorted((one.kind, one.name) for one in wanted if one.kind is not ResourceKind.ROUTE)


async def seen(it: Yard, wish: Wish) -> list[tuple[ResourceKind, str]]:
    return sorted((one.kind, one.name) for one in (await it.databases.observe(wish)).resources)


async def test_shared_made_once_and_gone(shared: Yard) -> None:
    wish = shared.wish()
    before = {one["metadata"]["uid"] for one in await shared.all()}
    await asyncio.gather(shared.databases.provision(wish), shared.databases.provision(wish))
    await shared.databases.provision(wish)
    assert await seen(shared, wish) == durable(wish)
    assert await shared.differing(wish) == {Field.DATABASE: "empty"}
    await filled(shared, wish)
    assert await shared.differing(wish) == {}
    for _ in range(2):
        await shared.databases.remove(wish)
    assert await seen(shared, wish) == []
    assert {one["metadata"]["uid"] for one in await shared.all()} == before


async def test_own_made_once_kept_and_found_again(own: Yard) -> None:
    wish = own.wish()
    await asyncio.gather(own.databases.provision(wish), own.databases.provision(wish))
    await own.databases.provision(wish)
    assert await seen(own, wish) == durable(wish)
    await filled(own, wish)
    assert await own.differing(wish) == {}
    await own.databases.remove(wish)
    assert await seen(own, wish) == []
    (left,) = await own.all()
    assert left["kind"] == "PersistentVolumeClaim"
    await own.databases.provision(wish)
    async with await psycopg.AsyncConnection.connect(await inside(own, wish)) as connection:
        await connection.execute("select a from kept")
    for _ in range(2):
        await own.databases.remove(wish.model_copy(update={"purge": True}))
    assert await own.all() == []


async def filled(it: Yard, wish: Wish) -> None:
    """As once a server has started: its database is never without tables then."""
    async with await psycopg.AsyncConnection.connect(await inside(it, wish)) as connection:
        await connection.execute("create table kept (a int)")


async def inside(it: Yard, wish: Wish) -> str:
    """As the deployment's own role, from here."""
    postgres = await it.databases.postgres_of(wish)
    return postgres.uri(wish)
