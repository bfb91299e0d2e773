"""The migrations make exactly the schema that the tables describe, also when two start at once."""

import asyncio
import re
from collections.abc import Callable, Iterator
from enum import StrEnum
from uuid import UUID

import pytest
import structlog
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, select, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from records import settle
from records.deployment import Deployment
from records.difference import Outcome
from records.event import Event, EventKind
from records.migrations import configuration, is_behind, upgrade
from records.session import connect, dialed, sessions
from records.tables import TABLES, metadata
from workflows.accounts import Finder
from workflows.drift import Field, Severity
from workflows.mending import State
from workflows.shapes import Flavour, Policy, ResourceKind

ID = UUID(int=1)
HEAD = ScriptDirectory.from_config(configuration()).get_current_head()


def test_nothing_is_left_to_add(database: str) -> None:
    engine = create_engine(dialed(database))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_every_table_is_listed() -> None:
    assert {table.__tablename__ for table in TABLES} == set(metadata.tables)


async def test_two_upgrades_at_once(make_database: Callable[[str], str]) -> None:
    empty = make_database("template1")
    await asyncio.gather(*(asyncio.to_thread(upgrade, empty) for _ in range(3)))
    engine = create_engine(dialed(empty))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM alembic_version")).scalar_one() == 1
    engine.dispose()


def test_what_a_newer_version_made_is_left_as_it_is(database: str) -> None:
    engine = create_engine(dialed(database))
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with structlog.testing.capture_logs() as told:
        upgrade(database)
    assert [entry["schema"] for entry in told] == ["9999"]
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "9999"
        assert connection.execute(text("SELECT count(*) FROM deployments")).scalar_one() == 0
    engine.dispose()


def test_only_an_older_schema_is_behind() -> None:
    cases = {None: True, "0001": True, "0002": True, HEAD: False, "9999": False}
    assert {found: is_behind(found) for found in cases} == cases


FIRST_RELEASE = """
INSERT INTO workspaces (id, name, created_at) VALUES (:id, 'default', now());
INSERT INTO deployments (id, short, workspace_id, name, source, status, plane, credentials, shareable,
  route_through_gateway, last_number, created_at, updated_at, source_revision_config, source_config,
  environment, flavour, custom_postgres, custom_redis, active_revision_id)
VALUES (:id, '00000001', :id, 'agent', 'internal_source', 'READY', 'local', 'c', false, false, 1, now(), now(),
  '{}', '{}', 'e', 'pg', false, false, :id);
INSERT INTO revisions (id, deployment_id, number, source, status, status_since, detail, created_at,
  updated_at, source_revision_config, source_config, environment, flavour, custom_postgres, custom_redis)
VALUES (:id, :id, 1, 'internal_source', 'DEPLOYED', now(), '', now(), now(), '{}', '{}', 'e', 'pg', false,
  false);
INSERT INTO events (deployment_id, at, kind, message, fix) VALUES (:id, now(), 'serving', 'It serves.', '')
"""
"""Rows as 0.1.0 wrote them."""


@pytest.fixture
def first_release(make_database: Callable[[str], str]) -> Iterator[Connection]:
    """A database of 0.1.0 with a deployment in it, upgraded."""
    dsn = make_database("template1")
    engine = create_engine(dialed(dsn))
    with engine.begin() as connection:
        command.upgrade(configuration(connection), "0001")
    with engine.begin() as connection:
        for statement in FIRST_RELEASE.split(";"):
            connection.execute(text(statement.replace(":id", f"'{ID}'")))
    upgrade(dsn)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def test_what_the_first_release_wrote_is_taken_over(first_release: Connection) -> None:
    with Session(first_release) as session:
        row = session.get_one(Deployment, ID)
        assert (row.name, row.policy, row.drift_state, row.drift_why) == ("agent", "repair", "steady", "")
        assert not row.purge
        assert (row.drift_since, row.drift_next_try_at, row.drift_looked_at) == (None, None, None)
        (told,) = session.scalars(select(Event))
        assert (told.kind, told.message) == (EventKind.SERVING, "It serves.")
        session.add(Event(deployment_id=ID, kind=EventKind.DRIFT_STATE))
        session.flush()


async def test_the_first_release_was_always_to_be_kept_running(first_release: Connection) -> None:
    engine = connect(first_release.engine.url.render_as_string(hide_password=False))
    async with sessions(engine).begin() as session:
        intent = await settle.intent(session, ID)
        assert intent.serving is not None
        assert (intent.serving.number, intent.policy) == (1, Policy.REPAIR)
    await engine.dispose()


def test_the_way_back(first_release: Connection) -> None:
    with Session(first_release) as session:
        session.add(Event(deployment_id=ID, kind=EventKind.DRIFT_FOUND))
        session.commit()
    command.downgrade(configuration(first_release), "0001")
    first_release.commit()
    assert first_release.execute(text("SELECT kind FROM events")).scalars().all() == ["serving"]
    with pytest.raises(IntegrityError, match="ck_events_kind"):
        first_release.execute(text("UPDATE events SET kind = 'drift.found'"))
    first_release.rollback()
    command.upgrade(configuration(first_release), "head")
    context = MigrationContext.configure(first_release, opts={"compare_type": True})
    assert compare_metadata(context, metadata) == []
    first_release.rollback()


WORDS = [
    ("events", "kind", EventKind),
    ("deployments", "policy", Policy),
    ("deployments", "drift_state", State),
    ("drifts", "field", Field),
    ("drifts", "severity", Severity),
    ("drifts", "found_by", Finder),
    ("drifts", "outcome", Outcome),
    ("orphans", "kind", ResourceKind),
    ("deployments", "flavour", Flavour),
    ("revisions", "flavour", Flavour),
]


@pytest.mark.parametrize(("table", "column", "kind"), WORDS, ids=[f"{case[0]}.{case[1]}" for case in WORDS])
def test_every_word_may_be_stored(shared_database: str, table: str, column: str, kind: type[StrEnum]) -> None:
    """Autogeneration does not compare check constraints."""
    query = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = :name"
    engine = create_engine(dialed(shared_database))
    with engine.connect() as connection:
        told = connection.execute(text(query), {"name": f"ck_{table}_{column}"}).scalar_one()
    engine.dispose()
    assert set(re.findall(r"'([^']+)'", told)) == {word.value for word in kind}


def test_a_foreign_address_is_refused() -> None:
    with pytest.raises(ValueError, match="mysql"):
        dialed("mysql://here/there")
