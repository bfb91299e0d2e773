"""What lies inside one deployment's database: whether its role can use all of it, and making that so.

Looked at as a superuser in a database in which somebody else makes the functions: nothing here may be resolved
through that database's own search path.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from psycopg import AsyncConnection, sql
from psycopg.rows import class_row

OPTIONS = "-c search_path=pg_catalog -c lock_timeout=10s"
OVERVIEW = """
select exists(select from pg_available_extensions where name = 'vector') as available,
  exists(select from pg_extension where extname = 'vector') as extended,
  exists(select from pg_namespace where nspname = 'public') as public,
  exists(select from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema') as filled
"""
# Each "offset 0" keeps the thousands of objects of Postgres itself out before rights are asked for one by one.
OBJECTS = """
with ours as (select oid, rolname from pg_roles where rolname = %(role)s),
spaces as (select oid, nspname, nspowner from pg_namespace
  where nspname !~ '^pg_' and nspname <> 'information_schema'),
extended as (select classid, objid from pg_depend where deptype = 'e'),
objects as (
  select 'schema' as kind, format('%%I', n.nspname) as name, n.nspowner as owner, n.nspname <> 'public' as movable,
    has_schema_privilege(ours.oid, n.oid, 'usage') and has_schema_privilege(ours.oid, n.oid, 'create') as usable,
    'pg_namespace'::regclass::oid as classid, n.oid as objid
  from spaces n, ours
  union all
  select case c.relkind when 'S' then 'sequence' else 'table' end, format('%%I.%%I', c.nspname, c.relname), c.relowner,
    not exists(select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid
      and c.relkind = 'S' and d.deptype in ('a', 'i')),
    case when c.relkind = 'S'
      then has_sequence_privilege(ours.oid, c.oid, 'usage') and has_sequence_privilege(ours.oid, c.oid, 'select')
      else has_table_privilege(ours.oid, c.oid, 'select') end
    and (c.relkind not in ('r', 'p') or has_table_privilege(ours.oid, c.oid, 'insert')
      and has_table_privilege(ours.oid, c.oid, 'update') and has_table_privilege(ours.oid, c.oid, 'delete')),
    'pg_class'::regclass::oid, c.oid
  from (select c.oid, c.relname, c.relkind, c.relowner, n.nspname
    from pg_class c join spaces n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') offset 0) c, ours
  union all
  select 'routine', p.oid::regprocedure::text, p.proowner, true,
    has_function_privilege(ours.oid, p.oid, 'execute'), 'pg_proc'::regclass::oid, p.oid
  from (select p.oid, p.proowner from pg_proc p join spaces n on n.oid = p.pronamespace
    where p.prokind in ('f', 'p', 'w') offset 0) p, ours
  union all
  select 'type', format('%%I.%%I', t.nspname, t.typname), t.typowner, true,
    has_type_privilege(ours.oid, t.oid, 'usage'), 'pg_type'::regclass::oid, t.oid
  from (select t.oid, t.typname, t.typowner, n.nspname from pg_type t join spaces n on n.oid = t.typnamespace
    left join pg_class c on c.oid = t.typrelid
    where t.typtype in ('e', 'd', 'r') or t.typtype = 'c' and c.relkind = 'c' offset 0) t, ours
)
select kind, name, pg_get_userbyid(owner) as owner, movable, usable from objects
where (%(all)s or not usable) and (classid, objid) not in (select classid, objid from extended)
"""


@dataclass(frozen=True)
class Overview:
    """A database's inside at a glance."""

    available: bool
    """Whether the server could make the extension."""
    extended: bool
    public: bool
    """Whether the schema is there."""
    filled: bool
    """Whether there is any table; a database that a server has been started on is never without."""


@dataclass(frozen=True)
class Object:
    """A schema, a table or a view, a sequence, a routine or a type, unless an extension brought it."""

    kind: str
    name: str
    """As SQL takes it."""
    owner: str
    movable: bool
    """Whether it may be given to another owner by itself."""
    usable: bool


async def overview(connection: AsyncConnection) -> Overview:
    async with connection.cursor(row_factory=class_row(Overview)) as cursor:
        row = await (await cursor.execute(OVERVIEW)).fetchone()
    assert row is not None
    return row


async def unusable(connection: AsyncConnection, role: str) -> list[Object]:
    """What the role can not work with."""
    return await _objects(connection, role, all_=False)


async def put_right(connection: AsyncConnection, role: str, seen: Overview) -> None:
    """Have a schema to work in, the extension, and every object in the role's hands.

    Who owns something that the role cannot use has taken it, and what else they own in here with it: types and
    routines stay usable and would only fail the next migration.
    """
    owner = sql.Identifier(role)
    if not seen.public:
        await connection.execute(sql.SQL("create schema if not exists public authorization {}").format(owner))
    if seen.available and not seen.extended:
        await connection.execute("create extension if not exists vector schema public")
    lost = await unusable(connection, role)
    takers = {one.owner for one in lost} - {role}
    if takers:
        lost = [
            one
            for one in await _objects(connection, role, all_=True)
            if one.owner in takers or not one.usable
        ]
    for one in lost:
        for statement in _statements(one, takers):
            await connection.execute(statement.format(owner))


def _statements(one: Object, takers: set[str]) -> Iterator[sql.SQL]:
    kind, name = one.kind, one.name.replace("{", "{{").replace("}", "}}")
    if one.movable and one.owner in takers:
        yield sql.SQL(f"alter {kind} {name} owner to {{}}")
    if not one.usable:
        yield sql.SQL(f"grant all on {kind} {name} to {{}}")


async def _objects(connection: AsyncConnection, role: str, *, all_: bool) -> list[Object]:
    async with connection.cursor(row_factory=class_row(Object)) as cursor:
        return await (await cursor.execute(OBJECTS, {"role": role, "all": all_})).fetchall()
