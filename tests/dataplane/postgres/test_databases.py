"""Databases on a real Postgres: made once, put right when somebody meddled, out of everybody else's reach."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from dataplane.postgres.catalog import limit
from dataplane.postgres.databases import Postgres
from sealing import Keyring
from workflows import names
from workflows.causes import Code, Refused
from workflows.shapes import ResourceKind, SourceKind, Wish

PASSWORD = "Marker-Pass_word"


@pytest.fixture
def make_wish(tmp_path: Path) -> Callable[..., Wish]:
    keys = tmp_path / "keys"
    Keyring.create(keys)
    ring = Keyring.load(keys)

    def make(**changes: object) -> Wish:
        id_ = uuid4()
        credentials = ring.seal_map({"postgres": PASSWORD, "redis": "unused"}, str(id_))
        wish = Wish(
            deployment_id=id_,
            revision_id=uuid4(),
            number=1,
            name="echo-agent",
            source=SourceKind.INTERNAL_SOURCE,
            environment=ring.seal_map({}, str(id_)),
            credentials=credentials,
        )
        return wish.model_copy(update=changes)

    return make


@pytest.fixture
async def postgres(tmp_path: Path, postgres_admin_dsn: str) -> Postgres:
    return Postgres(postgres_admin_dsn, tmp_path / "keys")


@pytest.fixture
async def wish(make_wish: Callable[..., Wish], postgres: Postgres) -> AsyncIterator[Wish]:
    wish = make_wish()
    await postgres.provision(wish)
    yield wish
    await postgres.remove(wish)


def name_of(wish: Wish) -> str:
    return names.database(wish.name, wish.deployment_id)


async def test_it_is_the_owner_of_its_own_and_no_more(
    postgres: Postgres, wish: Wish, shared_database: str
) -> None:
    with psycopg.connect(postgres.uri(wish), autocommit=True) as connection:
        connection.execute("create table mine (id int)")
        row = connection.execute(
            "select rolsuper or rolcreatedb or rolcreaterole or rolreplication or rolbypassrls, rolconnlimit"
            " from pg_roles where rolname = current_user"
        ).fetchone()
    assert row == (False, limit(wish))


async def test_vectors_are_there(postgres: Postgres, wish: Wish) -> None:
    with psycopg.connect(postgres.uri(wish)) as connection:
        row = connection.execute("select '[1,2,3]'::vector <-> '[1,2,4]'::vector").fetchone()
    assert row == (1.0,)


async def test_twice_is_once(postgres: Postgres, wish: Wish) -> None:
    with psycopg.connect(postgres.uri(wish)) as connection:
        connection.execute("create table kept (id int)")
        connection.commit()
        await postgres.provision(wish)
        assert connection.execute("select count(*) from kept").fetchone() == (0,)
    assert {resource.kind for resource in await postgres.observe(wish)} == {
        ResourceKind.ROLE,
        ResourceKind.DATABASE,
    }


async def test_overlapping_itself_is_once(postgres: Postgres, make_wish: Callable[..., Wish]) -> None:
    wish = make_wish()
    await asyncio.gather(*(postgres.provision(wish) for _ in range(4)))
    assert len(await postgres.observe(wish)) == 2
    await postgres.remove(wish)


@pytest.mark.parametrize(
    ("meddling", "check"),
    [
        ("alter role {0} password 'another'", None),
        ("alter role {0} nologin", None),
        ("alter role {0} superuser", "select not rolsuper from pg_roles where rolname = current_user"),
        (
            "alter role {0} connection limit 1",
            "select rolconnlimit > 1 from pg_roles where rolname = current_user",
        ),
        (
            "alter database {0} owner to current_user",
            "select pg_get_userbyid(datdba) = user from pg_database where datname = current_database()",
        ),
        (
            "grant connect on database {0} to public",
            "select not has_database_privilege('pg_monitor', current_database(), 'connect')",
        ),
        ("drop role_and_database", None),
    ],
)
async def test_meddling_is_put_right(
    postgres: Postgres, wish: Wish, postgres_admin_dsn: str, meddling: str, check: str | None
) -> None:
    if meddling == "drop role_and_database":
        await postgres.remove(wish)
    else:
        with psycopg.connect(postgres_admin_dsn, autocommit=True) as admin:
            admin.execute(sql.SQL(meddling).format(sql.Identifier(name_of(wish))))
    await postgres.provision(wish)
    with psycopg.connect(postgres.uri(wish)) as connection:
        assert connection.execute((check or "select true").encode()).fetchone() == (True,)


async def test_others_stay_out(postgres: Postgres, wish: Wish, make_wish: Callable[..., Wish]) -> None:
    other = make_wish()
    await postgres.provision(other)
    try:
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(postgres.uri(wish).replace(f"/{name_of(wish)}?", f"/{name_of(other)}?"))
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(postgres.uri(wish).replace(PASSWORD, "wrong"))
    finally:
        await postgres.remove(other)


async def test_removed_also_with_somebody_connected(
    postgres: Postgres, make_wish: Callable[..., Wish]
) -> None:
    wish = make_wish()
    await postgres.provision(wish)
    with psycopg.connect(postgres.uri(wish)):
        await postgres.remove(wish)
    assert await postgres.observe(wish) == []
    await postgres.remove(wish)


async def test_more_connections_than_there_are_is_refused(
    postgres: Postgres, make_wish: Callable[..., Wish]
) -> None:
    with pytest.raises(Refused) as refused:
        await postgres.provision(make_wish(replicas=400))
    assert refused.value.cause.code is Code.CONNECTION_BUDGET
    assert "min_scale" in refused.value.cause.fix


async def test_an_admin_who_is_none_is_refused_before_anything_is_made(
    tmp_path: Path, postgres: Postgres, make_wish: Callable[..., Wish], postgres_admin_dsn: str
) -> None:
    """As many who rent their Postgres are given."""
    wish = make_wish()
    with psycopg.connect(postgres_admin_dsn, autocommit=True) as admin:
        admin.execute("create role nearly login createdb createrole password 'a-password'")
        try:
            dsn = psycopg.conninfo.make_conninfo(postgres_admin_dsn, user="nearly", password="a-password")
            with pytest.raises(Refused) as refused:
                await Postgres(dsn, tmp_path / "keys").provision(wish)
        finally:
            admin.execute("drop role nearly")
    assert refused.value.cause.code is Code.DATABASE_FAILED
    assert "nearly" in refused.value.cause.message
    assert "databases.mode" in refused.value.cause.fix
    assert "a-password" not in str(refused.value)
    assert await postgres.observe(wish) == []


async def test_the_password_is_in_no_statement(
    postgres: Postgres, wish: Wish, postgres_admin_dsn: str
) -> None:
    """A server that logs statements, as some do, sees a verifier only."""
    with psycopg.connect(postgres_admin_dsn, autocommit=True) as admin:
        row = admin.execute(
            "select rolpassword from pg_authid where rolname = %s", [name_of(wish)]
        ).fetchone()
    assert row is not None
    assert row[0].startswith("SCRAM-SHA-256$")
