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
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from dataplane.flavours import flavour
from dataplane.postgres import catalog, contents, scram, stated
from dataplane.postgres.catalog import SPARE, Role, chosen, limit
from dataplane.postgres.insides import Inside, Insides, look_inside
from dataplane.postgres.kept import Kept
from sealing import Keyring
from workflows import names
from workflows.causes import Code, Refused
from workflows.drift import AS_WISHED, MISSING, PRESENT, Fact, Field
from workflows.shapes import Resource, ResourceKind, Wish
from workflows.surveys import Seen

log = structlog.get_logger()


class Postgres:
    """The deployments' databases on one server, worked on as its superuser."""

    def __init__(self, admin_dsn: str, keys: Path, *, patience: float = 10) -> None:
        self._dsn = admin_dsn
        self._keys = keys
        self._patience = patience
        self._kept = Kept(admin_dsn, patience=patience)
        self._insides = Insides(self._inside)

    async def provision(self, wish: Wish) -> None:
        """Make the wish's role and database, or find them wherever they went and put them right."""
        name, id_ = names.database(wish.name, wish.deployment_id), wish.deployment_id
        async with self._connection() as connection:
            await self._check_rights(connection)
            await self._check_budget(connection, wish)
            # A step that is retried may overlap its own ghost.
            await connection.execute("select pg_advisory_lock(hashtext(%s))", [name])
            there = await catalog.one(connection, name, id_)
            role, database = chosen(there.roles, name, id_), chosen(there.databases, name, id_)
            if database is None and there.roles:
                log.warning("the deployment's database was gone: made anew, and empty", database=name)
            await stated.role(connection, role, name, self._password(wish), limit=limit(wish))
            await stated.database(connection, database, name)
            await stated.comments(connection, name, id_)
            await stated.sessions(connection, there, name)
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
            await stated.gone(connection, there)

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
        inside = None
        if database.enterable:
            inside = await self._inside(name)
            if not inside.filled:
                found = [_emptied(fact) for fact in found]
        return [*found, *catalog.rights(database, inside)]

    async def listed(self) -> dict[str, str]:
        """Every deployment's eight digits with a text that changes whenever its role or database does. Cheap
        enough to be asked for every second, as of the insides it is told what was seen last. Raises when the
        server is away."""
        return catalog.signatures(await self._kept.ask(catalog.everything), self._insides.seen)

    async def look_inside(self) -> None:
        """Look into a few databases, by turns: a connection each, which costs more than all else."""
        await self._insides.turn(catalog.enterable(await self._kept.ask(catalog.everything)))

    async def surveyed(self) -> dict[str, Seen]:
        """What there is of every deployment, as far as that can be told without its wish; of the insides of
        databases what was seen last."""
        shown = await self._kept.ask(catalog.everything)
        seen: dict[str, Seen] = {}
        for short, resource in catalog.resources(shown):
            seen.setdefault(short, Seen(short=short)).resources.append(resource)
        for short, fact in catalog.rough_facts(shown, self._insides.seen):
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

    async def _inside(self, name: str) -> Inside:
        async with asyncio.timeout(self._patience), self._connection(name) as connection:
            return await look_inside(connection, name)

    async def _check_rights(self, connection: AsyncConnection) -> None:
        """Verifiers of passwords are shown to a superuser only, and without them nobody can tell whether a role still
        has its own."""
        if not await _one(connection, "select (current_setting('is_superuser') = 'on')::int"):
            raise Refused(
                Code.DATABASE_FAILED,
                f"The role {connection.info.user} by which deployments get their databases is no superuser.",
                "Give the plane a superuser's DSN, or each deployment a server of its own: databases.existingSecret"
                " or databases.mode of the chart.",
            )

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
