"""The way of the schema through time; shipped with the package: a stack brings itself up to date."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Connection

from records.session import dialed

LOCK = 0x677279647964


def configuration(connection: Connection | None = None) -> Config:
    """Alembic's settings, which need no file beside the package."""
    config = Config(attributes={"connection": connection} if connection is not None else {})
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config


def upgrade(database_url: str) -> None:
    """Bring a database to the newest schema. Of two at once, the second waits and finds nothing to do."""
    engine = create_engine(dialed(database_url), hide_parameters=True, connect_args={"connect_timeout": 5})
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            command.upgrade(configuration(connection), "head")
    finally:
        engine.dispose()


def newest() -> str | None:
    """The schema this code needs, as `alembic_version` names it."""
    return ScriptDirectory.from_config(configuration()).get_current_head()
