"""The statements that make a role and a database what they should be, whatever they are now.

Data is kept wherever Postgres still has it: what was renamed is renamed back, never made anew beside it.
"""

import asyncio
from uuid import UUID

import structlog
from psycopg import AsyncConnection, errors, sql

from dataplane.postgres import scram
from dataplane.postgres.catalog import READ_ONLY, Database, Role, Shown, comment

log = structlog.get_logger()

READ_ONLY_SETTING = sql.SQL(READ_ONLY.partition("=")[0])
ROLE = sql.SQL(
    "{verb} role {role} login nosuperuser nocreatedb nocreaterole noreplication nobypassrls"
    " connection limit {limit} valid until 'infinity'"
)


async def role(
    connection: AsyncConnection, known: Role | None, name: str, password: str, *, limit: int
) -> None:
    """Have the role, with this password and limit, and no rights over anything but its own."""
    role = sql.Identifier(name)
    if known is not None and known.name != name:
        rename = sql.SQL("alter role {} rename to {}")
        await connection.execute(rename.format(sql.Identifier(known.name), role))
    verb = sql.SQL("create" if known is None else "alter")
    await connection.execute(ROLE.format(verb=verb, role=role, limit=sql.Literal(limit)))
    if known is None or not await asyncio.to_thread(scram.proves, known.verifier, password):
        verifier = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256")
        change = sql.SQL("alter role {} password {}")
        await connection.execute(change.format(role, sql.Literal(verifier.decode())))
    if known is not None and known.member_of:
        await _revoke_memberships(connection, role.as_string(connection))


async def database(connection: AsyncConnection, known: Database | None, name: str) -> None:
    """Have the database, owned by the role of its name and open to nobody else."""
    database = sql.Identifier(name)
    if known is not None and known.half_dropped:
        log.warning("the deployment's database was half dropped: made anew, and empty", database=name)
        await connection.execute(sql.SQL("drop database {}").format(sql.Identifier(known.name)))
        known = None
    if known is not None and known.name != name:
        await _rename(connection, known.name, name)
    if known is None:
        await connection.execute(sql.SQL("create database {0} owner {0}").format(database))
    for statement in (
        "alter database {0} owner to {0}",
        "alter database {0} allow_connections true connection limit -1 is_template false",
        "revoke all on database {0} from public",
        "grant all on database {0} to {0}",
    ):
        await connection.execute(sql.SQL(statement).format(database))


async def comments(connection: AsyncConnection, name: str, deployment_id: UUID) -> None:
    """Have both say whose they are; it follows them when they are renamed."""
    said = sql.Literal(comment(deployment_id))
    for kind in (sql.SQL("role"), sql.SQL("database")):
        await connection.execute(sql.SQL("comment on {} {} is {}").format(kind, sql.Identifier(name), said))


async def sessions(connection: AsyncConnection, shown: Shown, name: str) -> None:
    """End those that can do nothing any more: of a role that was dropped, also once there is another of its
    name, and those begun to read only, which would go on so."""
    things: list[Role | Database] = [*shown.roles, *shown.databases]
    read_only = any(READ_ONLY in thing.settings for thing in things)
    if read_only:
        for statement in (
            "alter role {0} reset {1}",
            "alter role {0} in database {0} reset {1}",
            "alter database {0} reset {1}",
        ):
            await connection.execute(sql.SQL(statement).format(sql.Identifier(name), READ_ONLY_SETTING))
    await connection.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity a where datname = %s"
        " and backend_type = 'client backend' and pid <> pg_backend_pid()"
        " and (%s and usename = %s or not exists (select from pg_roles where oid = a.usesysid))",
        [name, read_only, name],
    )


async def gone(connection: AsyncConnection, shown: Shown) -> None:
    """Have none of them, whoever is connected."""
    for one in shown.databases:
        called = sql.Identifier(one.name)
        if one.template and not one.half_dropped:
            await connection.execute(sql.SQL("alter database {} is_template false").format(called))
        await connection.execute(sql.SQL("drop database if exists {} with (force)").format(called))
    for role in shown.roles:
        await _drop(connection, sql.Identifier(role.name))


async def _rename(connection: AsyncConnection, called: str, name: str) -> None:
    """Only a database that nobody is in can be renamed, and servers come back within moments."""
    old = sql.Identifier(called)
    await connection.execute(sql.SQL("alter database {} allow_connections false").format(old))
    await connection.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = %s and pid <> pg_backend_pid()",
        [called],
    )
    # Waits up to five seconds for those to be gone.
    await connection.execute(sql.SQL("alter database {} rename to {}").format(old, sql.Identifier(name)))


async def _revoke_memberships(connection: AsyncConnection, role: str) -> None:
    rows = await connection.execute(
        "select m.roleid::regrole::text, m.grantor::regrole::text from pg_auth_members m"
        " where m.member = %s::regrole",
        [role],
    )
    for group, grantor in await rows.fetchall():
        await connection.execute(f"revoke {group} from {role} granted by {grantor} cascade".encode())


async def _drop(connection: AsyncConnection, role: sql.Identifier) -> None:
    drop = sql.SQL("drop role if exists {}").format(role)
    try:
        await connection.execute(drop)
    except errors.DependentObjectsStillExist:
        # Somebody gave it something beside its own database. What it owns is not ours to take away.
        await connection.execute(sql.SQL("reassign owned by {} to current_user").format(role))
        await connection.execute(sql.SQL("drop owned by {}").format(role))
        await connection.execute(drop)
