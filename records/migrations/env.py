"""Alembic's door: `upgrade` hands it a connection; the command line takes GRAPHYARD_DATABASE_URL."""

import os

from alembic import context
from sqlalchemy import create_engine
from sqlalchemy.engine import Connection

from records.session import dialed
from records.tables import metadata


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=False)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with create_engine(dialed(os.environ["GRAPHYARD_DATABASE_URL"])).connect() as made:
        run(made)
