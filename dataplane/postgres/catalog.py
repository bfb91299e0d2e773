"""What a Postgres server's shared catalogs show of deployments, and what that means in the words of drift.

One query for roles and one for databases, whether one deployment is asked for or all of them. Ours are known
by their names and, since names can be changed, by a comment that follows a role or database wherever it goes;
those made by 0.1.0 carry none until they are next put right.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row

from dataplane.flavours import MOST_REPLICAS, flavour
from dataplane.postgres.insides import Inside
from workflows.drift import AS_WISHED, MISSING, PRESENT, Fact, Field
from workflows.shapes import Flavour, Resource, ResourceKind, Wish

SPARE = 5
"""Connections for a look with psql, and for a proof while everything is busy."""
UNLIMITED = -1
HALF_DROPPED = -2
"""The limit by which Postgres marks a database whose drop was cut off."""
READ_ONLY = "default_transaction_read_only=on"
COMMENT = "Graphyard deployment "
NAMED = re.compile(r"gy_[a-z0-9_]+_([0-9a-f]{8})")
COMMENTED = re.compile(re.escape(COMMENT) + r"([0-9a-f]{8})[0-9a-f-]{28}")
# Looked up one by one through an index: nobody keeps statistics of comments, and a join would go over all of them
# for each role.
ROLES = b"""
select * from (
  select a.rolname as name, coalesce(shobj_description(a.oid, 'pg_authid'), '') as comment, a.rolcanlogin as login,
    a.rolsuper as superuser, a.rolcreatedb as creates_databases, a.rolcreaterole as creates_roles,
    a.rolreplication as replicates, a.rolbypassrls as bypasses, a.rolconnlimit as connections,
    a.rolpassword as verifier, coalesce(a.rolvaliduntil <= now(), false) as expired,
    array(select m.roleid::regrole::text from pg_auth_members m where m.member = a.oid order by 1) as member_of,
    array(select unnest(s.setconfig) from pg_db_role_setting s where s.setrole = a.oid order by 1) as settings
  from pg_authid a
) found where name ~ %(names)s or comment ~ %(comments)s order by name
"""
DATABASES = b"""
select * from (
  select b.datname as name, coalesce(shobj_description(b.oid, 'pg_database'), '') as comment,
    pg_get_userbyid(b.datdba) as owner, b.datallowconn as open, b.datconnlimit as connections,
    b.datistemplate as template, coalesce(b.datacl::text, '') as acl,
    coalesce(has_database_privilege(r.oid, b.oid, 'connect') and has_database_privilege(r.oid, b.oid, 'create')
      and has_database_privilege(r.oid, b.oid, 'temporary'), false) as usable,
    has_database_privilege('public', b.oid, 'connect, create, temporary') as public,
    array(select unnest(s.setconfig) from pg_db_role_setting s
      where s.setdatabase = b.oid and s.setrole = 0 order by 1) as settings
  from pg_database b
  left join pg_roles r on r.rolname = b.datname
) found where name ~ %(names)s or comment ~ %(comments)s order by name
"""


@dataclass(frozen=True)
class Role:
    """One role."""

    name: str
    comment: str
    login: bool
    superuser: bool
    creates_databases: bool
    creates_roles: bool
    replicates: bool
    bypasses: bool
    connections: int
    verifier: str | None
    expired: bool
    member_of: list[str]
    settings: list[str]


@dataclass(frozen=True)
class Database:
    """One database."""

    name: str
    comment: str
    owner: str
    open: bool
    """Whether anybody may connect to it."""
    connections: int
    template: bool
    acl: str
    usable: bool
    """Whether the role of the same name has every right on it."""
    public: bool
    """Whether everybody has some right on it."""
    settings: list[str]

    @property
    def half_dropped(self) -> bool:
        return self.connections == HALF_DROPPED

    @property
    def enterable(self) -> bool:
        return self.open and not self.half_dropped


@dataclass(frozen=True)
class Shown:
    """Roles and databases as the catalogs showed them."""

    roles: Sequence[Role]
    databases: Sequence[Database]


async def one(connection: AsyncConnection, name: str, deployment_id: UUID) -> Shown:
    """What there is of one deployment: all that has its name or its comment."""
    return await _read(connection, f"^{re.escape(name)}$", f"^{re.escape(comment(deployment_id))}$")


async def everything(connection: AsyncConnection) -> Shown:
    """What there is of all deployments."""
    return await _read(connection, f"^{NAMED.pattern}$", f"^{COMMENTED.pattern}$")


def comment(deployment_id: UUID) -> str:
    """How roles and databases of a deployment are told by whatever name."""
    return f"{COMMENT}{deployment_id}"


def limit(wish: Wish) -> int:
    """What the role may open: the new replicas beside as many old ones as there can be."""
    return _limit(wish.flavour, wish.replicas)


class _Thing(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def comment(self) -> str: ...


T = TypeVar("T", bound=_Thing)


def chosen(things: Sequence[T], name: str, deployment_id: UUID) -> T | None:
    """The deployment's own: the one of its name, else the one of its comment, which was renamed."""
    named = [thing for thing in things if thing.name == name]
    commented = [thing for thing in things if thing.comment == comment(deployment_id)]
    return next(iter((*named, *commented)), None)


def facts(shown: Shown, name: str, wish: Wish) -> Iterator[Fact]:
    """All of one deployment that the shared catalogs tell, but the password."""
    role = chosen(shown.roles, name, wish.deployment_id)
    database = chosen(shown.databases, name, wish.deployment_id)
    yield Fact(field=Field.ROLE, name=name, seen=_role(role, name))
    yield Fact(field=Field.DATABASE, name=name, seen=_database(database, name))
    if role is not None:
        limits = _limits(wish.flavour, at_least=limit(wish))
        yield Fact(field=Field.CONNECTIONS, name=name, seen=_connections(role, database, limits))


def resources(shown: Shown) -> Iterator[tuple[str, Resource]]:
    """Every role and database of ours with its deployment's eight digits."""
    for role in shown.roles:
        yield _short(role), Resource(kind=ResourceKind.ROLE, name=role.name)
    for database in shown.databases:
        yield _short(database), Resource(kind=ResourceKind.DATABASE, name=database.name, holds_data=True)


def rough_facts(shown: Shown, insides: Mapping[str, Inside]) -> Iterator[tuple[str, Fact]]:
    """What can be told of everything without knowing what is wished, by the eight digits."""
    roles = {role.name: role for role in shown.roles}
    limits = _limits(Flavour.PG, at_least=0)
    for database in shown.databases:
        short, name = _short(database), database.name
        yield short, Fact(field=Field.DATABASE, name=name, seen=_database(database, name))
        if (role := roles.get(name)) is not None:
            yield short, Fact(field=Field.CONNECTIONS, name=name, seen=_connections(role, database, limits))
            for fact in rights(database, insides.get(name)):
                yield short, fact
    for role in shown.roles:
        yield _short(role), Fact(field=Field.ROLE, name=role.name, seen=_role(role, role.name))


def rights(database: Database, inside: Inside | None) -> Iterator[Fact]:
    """Who may do what with a database of its right name, and what only shows inside, as far as that is known."""
    wrong = [*_grants(database), *(inside.wrong if inside else ())]
    yield Fact(field=Field.GRANTS, name=database.name, seen=", ".join(wrong) or AS_WISHED)
    if inside is not None and inside.extension is not None:
        yield Fact(field=Field.EXTENSION, name=database.name, seen=inside.extension)


def enterable(shown: Shown) -> set[str]:
    """The databases that can be looked into."""
    roles = {role.name for role in shown.roles}
    return {one.name for one in shown.databases if one.enterable and one.name in roles}


def signatures(shown: Shown, insides: Mapping[str, Inside]) -> dict[str, str]:
    """By deployment a text that changes whenever anything does that the catalogs show of it. Of the insides
    only what is wrong counts, for they are known later, and a server fills its database by itself."""
    parts: dict[str, list[str]] = {}
    things: list[_Thing] = [*shown.roles, *shown.databases]
    for thing in things:
        parts.setdefault(_short(thing), []).append(repr(thing))
    for database in shown.databases:
        inside = insides.get(database.name)
        if inside is not None and (inside.wrong or inside.extension == MISSING):
            parts[_short(database)].append(repr((inside.wrong, inside.extension)))
    return {short: hashlib.sha256("".join(said).encode()).hexdigest()[:16] for short, said in parts.items()}


def _grants(database: Database) -> Iterator[str]:
    """What is wrong with who may do what with a database as a whole."""
    if database.owner != database.name:
        yield f"owned by {database.owner}"
    if not database.open:
        yield "closed to everybody"
    if not database.usable:
        yield "closed to its role"
    if database.public:
        yield "open to every role"
    if database.template:
        yield "a template"


def _role(role: Role | None, name: str) -> str:
    if role is None:
        return MISSING
    if role.name != name:
        return f"renamed to {role.name}"
    wrong = {
        "not allowed to log in": not role.login,
        "a superuser": role.superuser,
        "allowed to create databases": role.creates_databases,
        "allowed to create roles": role.creates_roles,
        "allowed to replicate": role.replicates,
        "allowed to bypass row security": role.bypasses,
        "read-only": READ_ONLY in role.settings,
        f"a member of {' and '.join(role.member_of)}": bool(role.member_of),
    }
    return ", ".join(words for words, holds in wrong.items() if holds) or PRESENT


def _database(database: Database | None, name: str) -> str:
    if database is None:
        return MISSING
    if database.name != name:
        return f"renamed to {database.name}"
    if database.half_dropped:
        return "half dropped"
    return "read-only" if READ_ONLY in database.settings else PRESENT


def _connections(role: Role, database: Database | None, limits: frozenset[int]) -> str:
    if role.connections not in limits:
        return "unlimited" if role.connections == UNLIMITED else f"limited to {role.connections}"
    if database is not None and database.connections >= 0:
        return f"limited to {database.connections} for the database"
    return AS_WISHED


def _limits(of: Flavour, *, at_least: int) -> frozenset[int]:
    """Limits that some revision of ours may have set: the newest need not be the one that serves."""
    most = max(MOST_REPLICAS, flavour(of).most_replicas)
    return frozenset(
        {at_least, *(one for count in range(most + 1) if (one := _limit(of, count)) >= at_least)}
    )


def _limit(of: Flavour, replicas: int) -> int:
    return (replicas + MOST_REPLICAS) * flavour(of).connections + SPARE


def _short(thing: _Thing) -> str:
    found = COMMENTED.fullmatch(thing.comment) or NAMED.fullmatch(thing.name)
    assert found is not None
    return found[1]


async def _read(connection: AsyncConnection, called: str, commented: str) -> Shown:
    which = {"names": called, "comments": commented}
    async with connection.cursor(row_factory=class_row(Role)) as cursor:
        roles = await (await cursor.execute(ROLES, which)).fetchall()
    async with connection.cursor(row_factory=class_row(Database)) as cursor:
        databases = await (await cursor.execute(DATABASES, which)).fetchall()
    return Shown(roles, databases)
