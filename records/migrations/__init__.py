"""The way of the schema through time; shipped with the package: a stack brings itself up to date."""

from functools import cache
from pathlib import Path

import structlog
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Connection

from records.session import dialed

log = structlog.get_logger()

LOCK = 0x677279647964


def configuration(connection: Connection | None = None) -> Config:
    """Alembic's settings, which need no file beside the package."""
    config = Config(attributes={"connection": connection} if connection is not None else {})
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config


def upgrade(database_url: str) -> None:
    """Bring a database to the newest schema. Of two at once, the second waits and finds nothing to do.

    One that a newer version of us has brought further is left as it is: so an older one can be put back.
    """
    engine = create_engine(dialed(database_url), hide_parameters=True, connect_args={"connect_timeout": 5})
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            found = MigrationContext.configure(connection).get_current_revision()
            if found is not None and _ahead(found):
                log.warning("the schema is newer than this version and is left as it is", schema=found)
                return
            command.upgrade(configuration(connection), "head")
    finally:
        engine.dispose()


def is_behind(found: str | None) -> bool:
    """Whether a schema, as `alembic_version` names it, lacks something that this code needs.

    A newer one does not: whatever a migration takes away, no version that may still run has asked for.
    """
    return found is None or (found != _scripts().get_current_head() and not _ahead(found))


def _ahead(found: str) -> bool:
    """Whether only a newer version of us can have made this schema: ours has no such revision."""
    return found not in {script.revision for script in _scripts().walk_revisions()}


@cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(configuration())
