"""The migrations make exactly the schema that the tables describe, also when two start at once."""

import asyncio
from collections.abc import Callable

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text

from records.migrations import upgrade
from records.session import dialed
from records.tables import TABLES, metadata


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


def test_a_foreign_address_is_refused() -> None:
    with pytest.raises(ValueError, match="mysql"):
        dialed("mysql://here/there")
