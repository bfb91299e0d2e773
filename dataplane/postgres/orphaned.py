"""Taking away a database or a role that no record knows, by its name alone."""

import structlog
from psycopg import AsyncConnection, errors, sql

log = structlog.get_logger()


async def drop_role(dsn: str, name: str) -> None:
    """Have a role gone, unless it owns something: then it stays for as long."""
    async with await _connection(dsn) as connection:
        try:
            await connection.execute(sql.SQL("drop role if exists {}").format(sql.Identifier(name)))
        except errors.DependentObjectsStillExist:
            log.info("an orphaned role stays as long as what it owns", name=name)


async def drop_database(dsn: str, name: str) -> None:
    """Have a database gone, whoever is connected and whatever it holds."""
    statement = sql.SQL("drop database if exists {} with (force)")
    async with await _connection(dsn) as connection:
        await connection.execute(statement.format(sql.Identifier(name)))


async def _connection(dsn: str) -> AsyncConnection:
    return await AsyncConnection.connect(
        dsn, autocommit=True, connect_timeout=10, application_name="graphyard"
    )
