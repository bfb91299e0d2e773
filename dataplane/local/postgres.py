"""A database and the role that owns it, for one deployment: made, found, looked at, put right, dropped.

Every call states the whole truth again (password, owner, limit, grants), so what somebody changed by hand or
a crash left half made is right afterwards, with the data that Postgres still has. Only a verifier of the
password travels, never the password: a failing statement may end up in Postgres's log.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import structlog
from psycopg import AsyncConnection, errors, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from dataplane.flavours import flavour
from dataplane.local import catalog, contents, scram
from dataplane.local.catalog import READ_ONLY, SPARE, Database, Role, Shown, chosen, limit
from dataplane.local.kept import Kept
from sealing import Keyring
from workflows import names
from workflows.causes import Code, Refused
from workflows.drift import AS_WISHED, MISSING, PRESENT, Fact, Field
from workflows.shapes import Resource, ResourceKind, Wish
from workflows.surveys import Seen

log = structlog.get_logger()

READ_ONLY_SETTING = sql.SQL(READ_ONLY.partition("=")[0])
ROLE = sql.SQL(
    "{verb} role {role} login nosuperuser nocreatedb nocreaterole noreplication nobypassrls"
    " connection limit {limit} valid until 'infinity'"
)


class Postgres:
    """The deployments' databases on one server, worked on as its superuser."""

    def __init__(self, admin_dsn: str, keys: Path, *, patience: float = 10) -> None:
        self._dsn = admin_dsn
        self._keys = keys
        self._kept = Kept(admin_dsn, patience=patience)

    async def provision(self, wish: Wish) -> None:
        """Make the wish's role and database, or find them wherever they went and put them right."""
        name, id_ = names.database(wish.name, wish.deployment_id), wish.deployment_id
        async with self._connection() as connection:
            await self._check_budget(connection, wish)
            # A step that is retried may overlap its own ghost.
            await connection.execute("select pg_advisory_lock(hashtext(%s))", [name])
            there = await catalog.one(connection, name, id_)
            await self._provision_role(connection, chosen(there.roles, name, id_), name, wish)
            database = chosen(there.databases, name, id_)
            if database is None and there.roles:
                log.warning("the deployment's database was gone: made anew, and empty", database=name)
            await self._provision_database(connection, database, name)
            for kind in ("role", "database"):
                await connection.execute(
                    sql.SQL("comment on {} {} is {}").format(
                        sql.SQL(kind), sql.Identifier(name), sql.Literal(catalog.comment(id_))
                    )
                )
            await _end_sessions(connection, name, all_of_them=_read_only(there))
            # Still under the lock: of two at once, one would find the extension half made.
            async with self._connection(name) as inside:
                seen = await contents.overview(inside)
                if not seen.available:
                    log.warning("this Postgres has no pgvector", database=name)
                await contents.put_right(inside, name, seen)

    async def remove(self, wish: Wish) -> None:
        """Drop both, under whatever name, and whoever is connected."""
        name = names.database(wish.name, wish.deployment_id)
        async with self._connection() as connection:
            there = await catalog.one(connection, name, wish.deployment_id)
            for database in there.databases:
                called = sql.Identifier(database.name)
                if database.template and not database.half_dropped:
                    await connection.execute(sql.SQL("alter database {} is_template false").format(called))
                await connection.execute(sql.SQL("drop database if exists {} with (force)").format(called))
            for role in there.roles:
                await _drop(connection, sql.Identifier(role.name))

    async def observe(self, wish: Wish) -> list[Resource]:
        """Which of the two exist, under whatever name."""
        name = names.database(wish.name, wish.deployment_id)
        async with self._connection() as connection:
            there = await catalog.one(connection, name, wish.deployment_id)
        roles = [Resource(kind=ResourceKind.ROLE, name=role.name) for role in there.roles]
        return roles + [Resource(kind=ResourceKind.DATABASE, name=one.name) for one in there.databases]

    async def facts(self, wish: Wish) -> list[Fact]:
        """All that a look at one deployment's role and database shows. Raises when the server is away."""
        name, id_ = names.database(wish.name, wish.deployment_id), wish.deployment_id
        shown = await self._kept.ask(lambda connection: catalog.one(connection, name, id_))
        found = list(catalog.facts(shown, name, wish))
        role, database = chosen(shown.roles, name, id_), chosen(shown.databases, name, id_)
        if role is not None:
            seen = await asyncio.to_thread(_password, role, self._password(wish))
            found.append(Fact(field=Field.PASSWORD, name=name, seen=seen))
        if role is None or database is None or role.name != name or database.name != name:
            return found
        wrong = list(catalog.grants(database))
        if database.open and not database.half_dropped:
            async with self._connection(name) as inside:
                seen_inside = await contents.overview(inside)
                lost = await contents.unusable(inside, name)
            if not seen_inside.public:
                wrong.append("without its schema public")
            if lost:
                wrong.append(f"without rights on {lost[0].kind} {lost[0].name}" + _more(len(lost) - 1))
            if seen_inside.available:
                extension = PRESENT if seen_inside.extended else MISSING
                found.append(Fact(field=Field.EXTENSION, name=name, seen=extension))
            if not seen_inside.filled:
                found = [_emptied(fact) for fact in found]
        return [*found, Fact(field=Field.GRANTS, name=name, seen=catalog.told(iter(wrong)))]

    async def listed(self) -> dict[str, str]:
        """Every deployment's eight digits with a text that changes whenever its role or database does. Cheap
        enough to be asked for every second; raises when the server is away."""
        return dict(catalog.signatures(await self._kept.ask(catalog.everything)))

    async def surveyed(self) -> dict[str, Seen]:
        """What there is of every deployment, as far as that can be told without its wish."""
        shown = await self._kept.ask(catalog.everything)
        seen: dict[str, Seen] = {}
        for short, resource in catalog.resources(shown):
            seen.setdefault(short, Seen(short=short)).resources.append(resource)
        for short, fact in catalog.rough_facts(shown):
            seen[short].facts.append(fact)
        return seen

    async def close(self) -> None:
        """Give back the connection that is kept for looking."""
        await self._kept.close()

    def uri(self, wish: Wish) -> str:
        """What the deployment's servers connect with. Holds the password."""
        name = names.database(wish.name, wish.deployment_id)
        return database_uri(self._dsn, name, self._password(wish))

    @property
    def address(self) -> str:
        """`host:port` of the server."""
        parts = conninfo_to_dict(self._dsn)
        return f"{parts.get('host') or '127.0.0.1'}:{parts.get('port') or 5432}"

    def _password(self, wish: Wish) -> str:
        return Keyring.load(self._keys).open_map(wish.credentials, str(wish.deployment_id))["postgres"]

    async def _provision_role(
        self, connection: AsyncConnection, known: Role | None, name: str, wish: Wish
    ) -> None:
        role = sql.Identifier(name)
        if known is not None and known.name != name:
            await connection.execute(
                sql.SQL("alter role {} rename to {}").format(sql.Identifier(known.name), role)
            )
        verb = sql.SQL("create" if known is None else "alter")
        await connection.execute(ROLE.format(verb=verb, role=role, limit=sql.Literal(limit(wish))))
        password = self._password(wish)
        if known is None or not await asyncio.to_thread(scram.proves, known.verifier, password):
            verifier = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256")
            await connection.execute(
                sql.SQL("alter role {} password {}").format(role, sql.Literal(verifier.decode()))
            )
        if known is None:
            return
        if READ_ONLY in known.settings:
            await connection.execute(sql.SQL("alter role {} reset {}").format(role, READ_ONLY_SETTING))
        rows = await connection.execute(
            "select m.roleid::regrole::text, m.grantor::regrole::text from pg_auth_members m"
            " where m.member = %s::regrole",
            [role.as_string(connection)],
        )
        for group, grantor in await rows.fetchall():
            await connection.execute(
                f"revoke {group} from {role.as_string(connection)} granted by {grantor} cascade".encode()
            )

    async def _provision_database(
        self, connection: AsyncConnection, known: Database | None, name: str
    ) -> None:
        database = sql.Identifier(name)
        if known is not None and known.half_dropped:
            log.warning("the deployment's database was half dropped: made anew, and empty", database=name)
            await connection.execute(sql.SQL("drop database {}").format(sql.Identifier(known.name)))
            known = None
        if known is not None and known.name != name:
            await self._rename(connection, sql.Identifier(known.name), known.name, database)
        if known is None:
            await connection.execute(sql.SQL("create database {0} owner {0}").format(database))
        for statement in (
            "alter database {0} owner to {0}",
            "alter database {0} allow_connections true connection limit -1 is_template false",
            "revoke all on database {0} from public",
            "grant all on database {0} to {0}",
            *(["alter database {0} reset {1}"] if known and READ_ONLY in known.settings else []),
        ):
            await connection.execute(sql.SQL(statement).format(database, READ_ONLY_SETTING))

    async def _rename(
        self, connection: AsyncConnection, old: sql.Identifier, called: str, new: sql.Identifier
    ) -> None:
        """Only a database that nobody is in can be renamed, and servers come back within moments."""
        await connection.execute(sql.SQL("alter database {} allow_connections false").format(old))
        await connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = %s and pid <> pg_backend_pid()",
            [called],
        )
        # Waits up to five seconds for those to be gone.
        await connection.execute(sql.SQL("alter database {} rename to {}").format(old, new))

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
            dsn,
            autocommit=True,
            connect_timeout=10,
            application_name="graphyard",
            options=contents.OPTIONS if database else "",
        )
        async with connection:
            yield connection


def database_uri(admin_dsn: str, name: str, password: str) -> str:
    """A URI for `name` on the server of the admin's DSN, with that DSN's TLS settings."""
    parts = conninfo_to_dict(admin_dsn)
    host, port = parts.get("host") or "127.0.0.1", parts.get("port") or 5432
    mode = parts.get("sslmode") or ("disable" if host in ("127.0.0.1", "localhost", "::1") else "prefer")
    return f"postgresql://{quote(name)}:{quote(password, safe='')}@{host}:{port}/{quote(name)}?sslmode={mode}"


async def _one(connection: AsyncConnection, query: str, *values: object) -> int | None:
    row = await (await connection.execute(query.encode(), values)).fetchone()
    return int(row[0]) if row else None


async def _end_sessions(connection: AsyncConnection, name: str, *, all_of_them: bool) -> None:
    """Those of a role that was dropped may do nothing any more, also once there is another of its name; those
    that were begun to read only would go on so."""
    await connection.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity a where datname = %s"
        " and backend_type = 'client backend' and pid <> pg_backend_pid()"
        " and (%s and usename = %s or not exists (select from pg_roles where oid = a.usesysid))",
        [name, all_of_them, name],
    )


def _read_only(shown: Shown) -> bool:
    things: list[Role | Database] = [*shown.roles, *shown.databases]
    return any(READ_ONLY in thing.settings for thing in things)


async def _drop(connection: AsyncConnection, role: sql.Identifier) -> None:
    drop = sql.SQL("drop role if exists {}").format(role)
    try:
        await connection.execute(drop)
    except errors.DependentObjectsStillExist:
        # Somebody gave it something beside its own database. What it owns is not ours to take away.
        await connection.execute(sql.SQL("reassign owned by {} to current_user").format(role))
        await connection.execute(sql.SQL("drop owned by {}").format(role))
        await connection.execute(drop)


def _password(role: Role, password: str) -> str:
    if role.verifier is None:
        return MISSING
    if not scram.proves(role.verifier, password):
        return "another"
    return "expired" if role.expired else AS_WISHED


def _emptied(fact: Fact) -> Fact:
    """A server is never without tables, and only one that starts makes them."""
    empty = fact.field is Field.DATABASE and fact.seen == PRESENT
    return fact.model_copy(update={"seen": "empty"}) if empty else fact


def _more(count: int) -> str:
    return f" and {count} more" if count else ""
