"""The inventory lists what was provisioned before it is made, and never forgets."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from records import inventory
from records.deployment import Deployment
from records.specification import Environment
from tests.rows import PLANE, a_deployment, a_revision, wish_of
from workflows.shapes import ResourceKind, Wish


async def a_wish(session: AsyncSession, owner: Deployment, replicas: int = 1, **change: Any) -> Wish:
    spec = {"source_config": {"resource_spec": {"min_scale": replicas}}, **change}
    return await wish_of(session, await a_revision(session, owner, **spec))


async def there(session: AsyncSession, owner: Deployment) -> list[tuple[str, int | None]]:
    rows = await inventory.listed(session, owner.id)
    return [(row.kind.value, row.number) for row in rows if row.gone_at is None]


DURABLE = [("route", None), ("role", None), ("database", None), ("redis", None)]


async def test_everything_a_revision_owns_is_listed_once(session: AsyncSession) -> None:
    owner = await a_deployment(session)
    first = await a_wish(session, owner, replicas=2)
    await inventory.enter(session, first, PLANE)
    await inventory.enter(session, first, PLANE)
    assert await there(session, owner) == [*DURABLE, ("process", 1), ("process", 1)]
    await inventory.enter(session, await a_wish(session, owner), PLANE)
    assert (await there(session, owner))[6:] == [("process", 2)]
    assert await inventory.kinds(session, owner.id) == set(ResourceKind)
    assert {row.name for row in await inventory.present(session, PLANE) if row.deployment_id == owner.id} >= {
        f"redis-{owner.short}",
        f"server-{owner.short}-1-1",
        owner.slug,
    }


async def test_custom_databases_are_not_ours(session: AsyncSession) -> None:
    owner = await a_deployment(session)
    own = Environment("e", custom_postgres=True, custom_redis=True)
    await inventory.enter(session, await a_wish(session, owner, environment=own), PLANE)
    assert await there(session, owner) == [("route", None), ("process", 1)]


async def test_processes_go_by_revision(session: AsyncSession) -> None:
    owner, other = await a_deployment(session), await a_deployment(session)
    wishes = [await a_wish(session, owner) for _ in range(4)]
    for wish in (*wishes, await a_wish(session, other)):
        await inventory.enter(session, wish, PLANE)
    assert await inventory.mark_gone(session, owner.id, number=2) == 1
    assert await there(session, owner) == [*DURABLE, ("process", 1), ("process", 3), ("process", 4)]
    assert await inventory.mark_gone(session, owner.id, below=4) == 2
    assert await inventory.mark_gone(session, owner.id, below=4) == 0
    assert await there(session, owner) == [*DURABLE, ("process", 4)]
    assert await inventory.mark_gone(session, owner.id) == 5
    assert await there(session, owner) == []
    assert len(await there(session, other)) == 5


async def test_what_had_gone_is_there_again(session: AsyncSession) -> None:
    owner = await a_deployment(session)
    wish = await a_wish(session, owner)
    await inventory.enter(session, wish, PLANE)
    first = {(row.kind, row.name): row.provisioned_at for row in await inventory.listed(session, owner.id)}
    await inventory.mark_gone(session, owner.id, number=1)
    session.expunge_all()
    await inventory.enter(session, wish, PLANE)
    again = await inventory.listed(session, owner.id)
    assert len(again) == len(first)
    assert all(row.gone_at is None for row in again)
    newer = [row.kind for row in again if row.provisioned_at > first[row.kind, row.name]]
    assert newer == [ResourceKind.PROCESS]
