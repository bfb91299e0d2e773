"""Keys, workspaces and listeners: found by what a caller shows, and by nothing else."""

from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from records import key, listener, workspace
from records.listener import Listener
from tests.rows import a_workspace


async def test_a_key_is_found_by_its_secret_and_the_secret_is_nowhere(session: AsyncSession) -> None:
    home = await a_workspace(session)
    secret = key.mint()
    row = await key.enter(session, home.id, "laptop", secret)
    assert await key.find(session, secret) is row
    assert await key.find(session, secret + "x") is None
    assert row.digest == key.digest(secret)
    assert secret not in repr(vars(row))
    assert secret.startswith(row.prefix)
    assert len(row.prefix) < 10


async def test_entering_twice_is_entering_once(session: AsyncSession) -> None:
    home = await a_workspace(session)
    secret = key.mint()
    first = await key.enter(session, home.id, "laptop", secret)
    assert await key.enter(session, home.id, "again", secret) is first
    assert await key.listed(session, home.id) == [first]


async def test_a_revoked_key_opens_nothing(session: AsyncSession) -> None:
    home, other = await a_workspace(session), await a_workspace(session)
    secret = key.mint()
    row = await key.enter(session, home.id, "laptop", secret)
    assert await key.revoke(session, other.id, row.id) is None
    assert await key.find(session, secret) is row
    assert await key.revoke(session, home.id, row.id) is row
    assert await key.find(session, secret) is None


def test_minted_keys_differ() -> None:
    assert len({key.mint() for _ in range(100)}) == 100


async def test_a_workspace_is_made_once(session: AsyncSession) -> None:
    first = await workspace.named(session, "default")
    assert await workspace.named(session, "default") is first
    assert await workspace.get(session, first.id) is first
    assert await workspace.get(session, uuid4()) is None


async def test_listeners_of_one_workspace(session: AsyncSession) -> None:
    home, other = await a_workspace(session), await a_workspace(session)
    rows = [
        Listener(
            workspace_id=home.id, compute_type="k8s", compute_id=name, compute_config={"k8s_namespaces": None}
        )
        for name in ("a", "b")
    ]
    for row in rows:
        session.add(row)
        await session.flush()
    assert [row.compute_id for row in await listener.page(session, home.id)] == ["b", "a"]
    assert [row.compute_id for row in await listener.page(session, home.id, limit=1, offset=1)] == ["a"]
    assert await listener.page(session, other.id) == []
    assert await listener.get(session, home.id, rows[0].id) is rows[0]
    assert await listener.get(session, other.id, rows[0].id) is None
