"""What people do to databases by hand: seen in the right words, put right, and no row lost by it."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from dataplane.postgres.databases import Postgres
from sealing import Keyring
from tests.dataplane.postgres.postgres_injuries import INJURIES
from tests.postgres import Server
from workflows import names
from workflows.drift import AS_WISHED, MISSING, PRESENT, Field, compare
from workflows.shapes import ResourceKind, SourceKind, Wish

PASSWORD = "Marker-Pass_word"
LOOKED = frozenset({Field.DATABASE, Field.ROLE})


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    keys = tmp_path_factory.mktemp("keys") / "keys"
    Keyring.create(keys)
    return keys


@pytest.fixture
async def postgres(keys: Path, postgres_admin_dsn: str) -> AsyncIterator[Postgres]:
    postgres = Postgres(postgres_admin_dsn, keys)
    yield postgres
    await postgres.close()


@pytest.fixture(scope="module")
def standing(keys: Path) -> Wish:
    ring, id_ = Keyring.load(keys), uuid4()
    return Wish(
        deployment_id=id_,
        revision_id=uuid4(),
        number=1,
        name="echo-agent",
        source=SourceKind.INTERNAL_SOURCE,
        environment=ring.seal_map({}, str(id_)),
        credentials=ring.seal_map({"postgres": PASSWORD, "redis": "unused"}, str(id_)),
    )


@pytest.fixture
async def wish(postgres: Postgres, standing: Wish, postgres_server: Server) -> AsyncIterator[Wish]:
    """Of a deployment in whose database a server has left tables, a row and what else migrations make. Making
    a database takes half a second, so one that the last test left as wished is used again."""
    if await seen(postgres, standing):
        await postgres.remove(standing)
        await postgres.provision(standing)
    with psycopg.connect(postgres_server.dsn(name_of(standing)), autocommit=True) as admin:
        for statement in CLEARED:
            admin.execute(sql.SQL(statement).format(sql.Identifier(name_of(standing))))
    with psycopg.connect(postgres.uri(standing), autocommit=True) as connection:
        for made in CONTENT:
            connection.execute(made)
    yield standing
    with psycopg.connect(postgres_server.dsn(), autocommit=True) as admin:
        admin.execute("drop role if exists gy_test_other")


CLEARED = (
    "drop schema public cascade",
    'drop schema if exists "of {{theirs}}" cascade',
    "create schema public authorization pg_database_owner",
    "grant usage on schema public to public",
    "create extension vector",
    "alter role {} reset all",
    "alter database {} reset all",
)
CONTENT = (
    b"create table kept (id serial primary key, told text)",
    b"insert into kept (told) values ('before')",
    b'create schema "of {theirs}" create table more (id int)',
    b"create type mood as enum ('fine')",
    b"create function one() returns int language sql as 'select 1'",
    b"create view shown as select * from kept",
)


def name_of(wish: Wish) -> str:
    return names.database(wish.name, wish.deployment_id)


async def seen(postgres: Postgres, wish: Wish) -> dict[Field, str]:
    """What differs, by field."""
    facts = await postgres.facts(wish)
    assert all(fact.name == name_of(wish) for fact in facts)
    return {one.field: one.seen for one in compare(wish, facts, LOOKED)}


@pytest.mark.parametrize("kind", INJURIES)
async def test_an_injury_is_seen_and_healed(
    postgres: Postgres,
    wish: Wish,
    postgres_server: Server,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    injury, name = INJURIES[kind], name_of(wish)
    assert await seen(postgres, wish) == {}
    await postgres.look_inside()
    before = (await postgres.listed())[names.short(wish.deployment_id)]
    for database, statements in ((name, injury.inside), ("postgres", injury.outside)):
        with psycopg.connect(postgres_server.dsn(database), autocommit=True) as admin:
            for statement in statements:
                admin.execute(sql.SQL(statement).format(sql.Identifier(name), sql.Literal(name)))

    assert (await seen(postgres, wish)).get(injury.field) == injury.sees
    if injury.sees != "empty":
        # What only shows inside is looked at by turns.
        monkeypatch.setattr("dataplane.postgres.insides.AGAIN", 0.0)
        monkeypatch.setattr("dataplane.postgres.insides.SHARE", 5.0)
        await postgres.look_inside()
        assert (await postgres.listed()).get(names.short(wish.deployment_id)) != before

    await postgres.provision(wish)

    left = await seen(postgres, wish)
    assert left == ({} if injury.kept else {Field.DATABASE: "empty"})
    with psycopg.connect(postgres.uri(wish), autocommit=True) as connection:
        if injury.kept:
            connection.execute("insert into kept (told) values ('after')")
            connection.execute("alter table kept add column more text")
            connection.execute("alter type mood add value 'better'")
            connection.execute("create or replace function one() returns int language sql as 'select 2'")
            connection.execute('insert into "of {theirs}".more values (1)')
            rows = connection.execute("select told from shown order by id").fetchall()
            assert rows == [("before",), ("after",)]
        else:
            connection.execute("create table anew (embedding vector(3))")
            assert await seen(postgres, wish) == {}


async def test_all_is_as_wished(postgres: Postgres, wish: Wish) -> None:
    facts = {(fact.field, fact.seen) for fact in await postgres.facts(wish)}
    assert facts == {
        (Field.DATABASE, PRESENT),
        (Field.ROLE, PRESENT),
        (Field.EXTENSION, PRESENT),
        (Field.PASSWORD, AS_WISHED),
        (Field.GRANTS, AS_WISHED),
        (Field.CONNECTIONS, AS_WISHED),
    }


async def test_provisioning_what_is_right_changes_nothing(postgres: Postgres, wish: Wish) -> None:
    before = await postgres.listed()
    await postgres.provision(wish)
    assert await postgres.listed() == before


async def test_a_renamed_database_comes_back_from_under_those_who_use_it(
    postgres: Postgres, wish: Wish, postgres_admin_dsn: str
) -> None:
    uri = postgres.uri(wish)
    with psycopg.connect(postgres_admin_dsn, autocommit=True) as admin:
        rename = sql.SQL("alter database {} rename to held").format(sql.Identifier(name_of(wish)))
        admin.execute(rename)
    with psycopg.connect(uri.replace(f"/{name_of(wish)}?", "/held?"), autocommit=True) as held:
        async with asyncio.timeout(4):
            await postgres.provision(wish)
        with pytest.raises(psycopg.OperationalError):
            held.execute("select 1")
    assert await seen(postgres, wish) == {}


async def test_sessions_that_can_do_nothing_any_more_are_ended(
    postgres: Postgres, wish: Wish, postgres_server: Server
) -> None:
    """A role that is dropped leaves them; one of the same name does not give them back what they were."""
    role = sql.Identifier(name_of(wish))
    injury = INJURIES["role dropped"]
    with psycopg.connect(postgres.uri(wish), autocommit=True) as held:
        for database, statements in ((name_of(wish), injury.inside), ("postgres", injury.outside)):
            with psycopg.connect(postgres_server.dsn(database), autocommit=True) as admin:
                for statement in statements:
                    admin.execute(sql.SQL(statement).format(role))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            held.execute("select * from kept")
        await postgres.provision(wish)
        with pytest.raises(psycopg.OperationalError):
            held.execute("select 1")


async def test_sessions_begun_to_read_only_are_ended(
    postgres: Postgres, wish: Wish, postgres_admin_dsn: str
) -> None:
    role = sql.Identifier(name_of(wish))
    with psycopg.connect(postgres_admin_dsn, autocommit=True) as admin:
        admin.execute(sql.SQL("alter role {} set default_transaction_read_only = on").format(role))
    with psycopg.connect(postgres.uri(wish), autocommit=True) as held:
        await postgres.provision(wish)
        with pytest.raises(psycopg.OperationalError):
            held.execute("select 1")
    with psycopg.connect(postgres.uri(wish), autocommit=True) as kept:
        await postgres.provision(wish)
        kept.execute("select 1")


async def test_both_gone_are_made_anew(postgres: Postgres, wish: Wish) -> None:
    await postgres.remove(wish)
    assert await seen(postgres, wish) == {Field.DATABASE: MISSING, Field.ROLE: MISSING}
    assert names.short(wish.deployment_id) not in await postgres.listed()
    await postgres.provision(wish)
    assert await seen(postgres, wish) == {Field.DATABASE: "empty"}


async def test_both_renamed_at_once_lose_nothing(
    postgres: Postgres, wish: Wish, postgres_admin_dsn: str
) -> None:
    with psycopg.connect(postgres_admin_dsn, autocommit=True) as admin:
        for kind in ("database", "role"):
            renamed = sql.SQL("alter {} {} rename to both_elsewhere")
            admin.execute(renamed.format(sql.SQL(kind), sql.Identifier(name_of(wish))))
    assert [one.name for one in await postgres.observe(wish)] == ["both_elsewhere", "both_elsewhere"]
    await postgres.provision(wish)
    assert await seen(postgres, wish) == {}
    with psycopg.connect(postgres.uri(wish)) as connection:
        assert connection.execute("select told from kept").fetchall() == [("before",)]


async def test_renamed_ones_are_removed_too(postgres: Postgres, wish: Wish, postgres_admin_dsn: str) -> None:
    with psycopg.connect(postgres_admin_dsn, autocommit=True) as admin:
        for statement in (
            "alter database {} is_template true",
            "alter database {} rename to both_elsewhere",
            "alter role {} rename to both_elsewhere",
        ):
            admin.execute(sql.SQL(statement).format(sql.Identifier(name_of(wish))))
    await postgres.remove(wish)
    assert await postgres.observe(wish) == []


async def test_removed_also_where_it_was_given_more(
    postgres: Postgres, wish: Wish, postgres_admin_dsn: str
) -> None:
    role = sql.Identifier(name_of(wish))
    with psycopg.connect(postgres_admin_dsn, autocommit=True) as admin:
        admin.execute("create table given (id int)")
        admin.execute("insert into given values (1)")
        try:
            admin.execute(sql.SQL("grant connect on database postgres to {}").format(role))
            admin.execute(sql.SQL("alter table given owner to {}").format(role))
            await postgres.remove(wish)
            assert admin.execute("select * from given").fetchall() == [(1,)]
        finally:
            admin.execute("drop table given")
    assert await postgres.observe(wish) == []


async def test_without_comments_as_0_1_0_made_them(
    postgres: Postgres, wish: Wish, postgres_admin_dsn: str
) -> None:
    with psycopg.connect(postgres_admin_dsn, autocommit=True) as admin:
        for statement in ("comment on database {} is null", "comment on role {} is null"):
            admin.execute(sql.SQL(statement).format(sql.Identifier(name_of(wish))))
    assert await seen(postgres, wish) == {}
    assert names.short(wish.deployment_id) in await postgres.listed()
    await postgres.provision(wish)
    with psycopg.connect(postgres_admin_dsn, autocommit=True) as admin:
        rename = sql.SQL("alter database {} rename to elsewhere").format(sql.Identifier(name_of(wish)))
        admin.execute(rename)
    assert await seen(postgres, wish) == {Field.DATABASE: "renamed to elsewhere"}


async def test_limits_of_other_revisions_are_no_difference(postgres: Postgres, wish: Wish) -> None:
    await postgres.provision(wish.model_copy(update={"replicas": 2}))
    assert await seen(postgres, wish) == {}
    await postgres.provision(wish)
    more = wish.model_copy(update={"replicas": 2})
    assert list(await seen(postgres, more)) == [Field.CONNECTIONS]


async def test_a_role_of_its_own_tools_owns_what_it_can_use(
    postgres: Postgres, wish: Wish, postgres_server: Server
) -> None:
    """Somebody's report beside the agent's tables stays theirs, as long as it is in nobody's way."""
    with psycopg.connect(postgres_server.dsn(name_of(wish)), autocommit=True) as admin:
        admin.execute("create view report as select count(*) from kept")
        admin.execute(sql.SQL("grant select on report to {}").format(sql.Identifier(name_of(wish))))
        assert await seen(postgres, wish) == {}
        await postgres.provision(wish)
        row = admin.execute("select viewowner = current_user from pg_views where viewname = 'report'")
        assert row.fetchone() == (True,)


async def test_nothing_inside_can_make_a_superuser_of_its_role(postgres: Postgres, wish: Wish) -> None:
    """What is resolved while we look must not be what the role has put in the way."""
    with psycopg.connect(postgres.uri(wish), autocommit=True) as connection:
        for call in ("has_schema_privilege(oid, oid, text)", "has_table_privilege(oid, oid, text)"):
            connection.execute(
                f"create function public.{call} returns boolean language plpgsql as"
                " $$ begin execute 'alter role ' || quote_ident(current_database()) || ' superuser';"
                " return true; end $$".encode()
            )
        connection.execute("alter role current_user set search_path = public, pg_catalog")
        connection.execute(
            "create or replace function public.format(text, name) returns text"
            " language sql as $$ select 'pwned' $$"
        )
        database = sql.Identifier(name_of(wish))
        connection.execute(sql.SQL("alter database {} set search_path = public, pg_catalog").format(database))
    assert await seen(postgres, wish) == {}
    await postgres.provision(wish)
    assert await seen(postgres, wish) == {}


async def test_a_survey_states_what_it_can(postgres: Postgres, wish: Wish, postgres_admin_dsn: str) -> None:
    short, name = names.short(wish.deployment_id), name_of(wish)
    there = (await postgres.surveyed())[short]
    assert {(one.kind, one.name, one.holds_data) for one in there.resources} == {
        (ResourceKind.ROLE, name, False),
        (ResourceKind.DATABASE, name, True),
    }
    assert compare(wish, there.facts, LOOKED) == []
    with psycopg.connect(postgres_admin_dsn, autocommit=True) as admin:
        admin.execute(sql.SQL("alter role {} nologin connection limit 0").format(sql.Identifier(name)))
        admin.execute(sql.SQL("alter database {} rename to lost").format(sql.Identifier(name)))
    there = (await postgres.surveyed())[short]
    assert {(one.field, one.seen) for one in compare(wish, there.facts, LOOKED)} == {
        (Field.DATABASE, MISSING),
        (Field.ROLE, "not allowed to log in"),
    }
    assert {one.name for one in there.resources} == {name, "lost"}


async def test_a_survey_knows_what_the_watch_saw_inside(
    postgres: Postgres, wish: Wish, postgres_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = names.short(wish.deployment_id)
    monkeypatch.setattr("dataplane.postgres.insides.AGAIN", 0.0)
    monkeypatch.setattr("dataplane.postgres.insides.SHARE", 5.0)
    await postgres.look_inside()
    before = await postgres.listed()
    assert compare(wish, (await postgres.surveyed())[short].facts, LOOKED) == []
    with psycopg.connect(postgres_server.dsn(name_of(wish)), autocommit=True) as admin:
        admin.execute("drop extension vector")
        admin.execute("alter table kept owner to current_user")
    await postgres.look_inside()
    assert await postgres.listed() != before
    facts = (await postgres.surveyed())[short].facts
    assert {(one.field, one.seen) for one in compare(wish, facts, LOOKED)} == {
        (Field.EXTENSION, MISSING),
        (Field.GRANTS, "without rights on table public.kept and 1 more"),
    }
    await postgres.provision(wish)
    await postgres.look_inside()
    assert await postgres.listed() == before
    assert compare(wish, (await postgres.surveyed())[short].facts, LOOKED) == []


async def test_what_is_kept_open_comes_back(postgres: Postgres, wish: Wish, postgres_admin_dsn: str) -> None:
    before = await postgres.listed()
    with psycopg.connect(postgres_admin_dsn, autocommit=True) as admin:
        admin.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = 'graphyard'"
        )
    assert await postgres.listed() == before
    assert len(await asyncio.gather(*(postgres.listed() for _ in range(5)))) == 5


async def test_a_server_that_is_away_is_nobodys_difference(keys: Path, wish: Wish) -> None:
    away = Postgres("postgresql://graphyard@127.0.0.1:1/postgres", keys)
    with pytest.raises(psycopg.OperationalError):
        await away.facts(wish)
    with pytest.raises(psycopg.OperationalError):
        await away.listed()


async def test_one_that_hangs_is_given_up_on(keys: Path, wish: Wish, postgres_admin_dsn: str) -> None:
    hasty = Postgres(postgres_admin_dsn, keys, patience=1)
    before = await hasty.listed()
    with psycopg.connect(postgres_admin_dsn, autocommit=True) as admin:
        row = admin.execute(
            "select pid from pg_stat_activity where application_name = 'graphyard'"
            " order by backend_start desc limit 1"
        ).fetchone()
    assert row is not None
    pid = row[0]
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(TimeoutError):
            await hasty.listed()
        assert await hasty.listed() == before
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        await hasty.close()
