"""A database and the role that owns it, for one deployment: made, found by name, put right, dropped.

Every call states the whole truth again (password, owner, limit, grants), so what somebody changed by hand or
a crash left half made is right afterwards. Only a verifier of the password travels, never the password: a
failing statement may end up in Postgres's log.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import structlog
from psycopg import AsyncConnection, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from dataplane.flavours import MOST_REPLICAS, flavour
from sealing import Keyring
from workflows import names
from workflows.causes import Code, Refused
from workflows.shapes import Resource, ResourceKind, Wish

log = structlog.get_logger()

SPARE = 5
"""Connections for a look with psql, and for a proof while everything is busy."""
ROLE = sql.SQL(
    "{verb} role {role} login nosuperuser nocreatedb nocreaterole noreplication nobypassrls"
    " connection limit {limit} password {verifier}"
)


class Postgres:
    """The deployments' databases on one server, worked on as its superuser."""

    def __init__(self, admin_dsn: str, keys: Path) -> None:
        self._dsn = admin_dsn
        self._keys = keys

    async def provision(self, wish: Wish) -> None:
        """Make or mend the wish's role and database."""
        name = names.database(wish.name, wish.deployment_id)
        owner = str(wish.deployment_id)
        password = Keyring.load(self._keys).open_map(wish.credentials, owner)["postgres"]
        async with self._connection() as connection:
            await self._check_budget(connection, wish)
            # A step that is retried may overlap its own ghost.
            await connection.execute("select pg_advisory_lock(hashtext(%s))", [name])
            verifier = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256")
            known = await _one(connection, "select 1 from pg_roles where rolname = %s", name)
            await connection.execute(
                ROLE.format(
                    verb=sql.SQL("alter" if known else "create"),
                    role=sql.Identifier(name),
                    limit=sql.Literal(limit(wish)),
                    verifier=sql.Literal(verifier.decode()),
                )
            )
            if not await _one(connection, "select 1 from pg_database where datname = %s", name):
                await connection.execute(
                    sql.SQL("create database {0} owner {0}").format(sql.Identifier(name))
                )
            for statement in (
                "alter database {0} owner to {0}",
                "revoke all on database {0} from public",
                "grant all on database {0} to {0}",
            ):
                await connection.execute(sql.SQL(statement).format(sql.Identifier(name)))
            # Still under the lock: of two at once, one would find the extension half made.
            await self._extend(name)

    async def remove(self, wish: Wish) -> None:
        """Drop both, whoever is connected."""
        name = sql.Identifier(names.database(wish.name, wish.deployment_id))
        async with self._connection() as connection:
            await connection.execute(sql.SQL("drop database if exists {} with (force)").format(name))
            await connection.execute(sql.SQL("drop role if exists {}").format(name))

    async def observe(self, wish: Wish) -> list[Resource]:
        """Which of the two exist."""
        name = names.database(wish.name, wish.deployment_id)
        async with self._connection() as connection:
            role = await _one(connection, "select 1 from pg_roles where rolname = %s", name)
            database = await _one(connection, "select 1 from pg_database where datname = %s", name)
        found = [(ResourceKind.ROLE, role), (ResourceKind.DATABASE, database)]
        return [Resource(kind=kind, name=name) for kind, there in found if there]

    def uri(self, wish: Wish) -> str:
        """What the deployment's servers connect with. Holds the password."""
        name = names.database(wish.name, wish.deployment_id)
        password = Keyring.load(self._keys).open_map(wish.credentials, str(wish.deployment_id))["postgres"]
        return database_uri(self._dsn, name, password)

    @property
    def address(self) -> str:
        """`host:port` of the server."""
        parts = conninfo_to_dict(self._dsn)
        return f"{parts.get('host') or '127.0.0.1'}:{parts.get('port') or 5432}"

    async def _extend(self, name: str) -> None:
        """Only a superuser may make this extension, and agents ask for it often."""
        async with self._connection(name) as connection:
            if await _one(connection, "select 1 from pg_available_extensions where name = 'vector'"):
                await connection.execute("create extension if not exists vector")
            else:
                log.warning("this Postgres has no pgvector", database=name)

    async def _check_budget(self, connection: AsyncConnection, wish: Wish) -> None:
        wanted = 2 * wish.replicas * flavour(wish.flavour).connections
        row = await _one(
            connection,
            "select current_setting('max_connections')::int"
            " - current_setting('superuser_reserved_connections')::int - %s",
            SPARE,
        )
        assert row is not None
        if wanted > row:
            raise Refused(
                Code.CONNECTION_BUDGET,
                f"{wish.replicas} replicas may open {wanted} Postgres connections during a rollout and the"
                f" server allows {max(row, 0)}.",
                "Ask for fewer replicas (min_scale), or raise max_connections of the Postgres server.",
            )

    @asynccontextmanager
    async def _connection(self, database: str | None = None) -> AsyncIterator[AsyncConnection]:
        dsn = make_conninfo(self._dsn, dbname=database) if database else self._dsn
        connection = await AsyncConnection.connect(
            dsn, autocommit=True, connect_timeout=10, application_name="graphyard"
        )
        async with connection:
            yield connection


def limit(wish: Wish) -> int:
    """What the role may open: the new replicas beside as many old ones as there can be."""
    return (wish.replicas + MOST_REPLICAS) * flavour(wish.flavour).connections + SPARE


def database_uri(admin_dsn: str, name: str, password: str) -> str:
    """A URI for `name` on the server of the admin's DSN, with that DSN's TLS settings."""
    parts = conninfo_to_dict(admin_dsn)
    host, port = parts.get("host") or "127.0.0.1", parts.get("port") or 5432
    mode = parts.get("sslmode") or ("disable" if host in ("127.0.0.1", "localhost", "::1") else "prefer")
    return f"postgresql://{quote(name)}:{quote(password, safe='')}@{host}:{port}/{quote(name)}?sslmode={mode}"


async def _one(connection: AsyncConnection, query: str, *values: object) -> int | None:
    row = await (await connection.execute(query.encode(), values)).fetchone()
    return int(row[0]) if row else None
