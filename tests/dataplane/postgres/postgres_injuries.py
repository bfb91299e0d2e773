"""What people do to a deployment's database and role by hand, and in which words it is seen."""

from dataclasses import dataclass

from workflows.drift import MISSING, Field


@dataclass(frozen=True)
class Injury:
    """Statements run as a superuser, what is seen of it, and whether rows can still be there."""

    outside: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()
    sees: str = ""
    field: Field = Field.ROLE
    kept: bool = True


INJURIES = {
    "no login": Injury(("alter role {0} nologin",), sees="not allowed to log in"),
    "superuser": Injury(("alter role {0} superuser",), sees="a superuser"),
    "more rights": Injury(
        ("alter role {0} createdb createrole replication bypassrls",),
        sees="allowed to create databases, allowed to create roles, allowed to replicate,"
        " allowed to bypass row security",
    ),
    "member": Injury(("grant pg_read_all_data to {0}",), sees="a member of pg_read_all_data"),
    "member by another": Injury(
        (
            "create role gy_test_other",
            "grant pg_read_all_data to gy_test_other with admin option",
            "grant pg_read_all_data to {0} granted by gy_test_other",
        ),
        sees="a member of pg_read_all_data",
    ),
    "role renamed": Injury(("alter role {0} rename to gy_test_renamed",), sees="renamed to gy_test_renamed"),
    "role reads only": Injury(("alter role {0} set default_transaction_read_only = on",), sees="read-only"),
    "role reads only there": Injury(
        ("alter role {0} in database {0} set default_transaction_read_only = on",), sees="read-only"
    ),
    "role dropped": Injury(
        ("alter database {0} owner to current_user", "revoke all on database {0} from {0}", "drop role {0}"),
        ("reassign owned by {0} to current_user", "drop owned by {0}"),
        sees=MISSING,
    ),
    "database renamed": Injury(
        ("alter database {0} rename to somewhere_else",),
        sees="renamed to somewhere_else",
        field=Field.DATABASE,
    ),
    "database renamed to look like another": Injury(
        ("alter database {0} rename to gy_other_00000000",),
        sees="renamed to gy_other_00000000",
        field=Field.DATABASE,
    ),
    "database dropped": Injury(
        ("drop database {0} with (force)",), sees=MISSING, field=Field.DATABASE, kept=False
    ),
    "drop cut off": Injury(
        ("update pg_database set datconnlimit = -2 where datname = {1}",),
        sees="half dropped",
        field=Field.DATABASE,
        kept=False,
    ),
    "emptied": Injury(
        (),
        ("drop schema public cascade", 'drop schema "of {{theirs}}" cascade'),
        "empty",
        Field.DATABASE,
        kept=False,
    ),
    "database reads only": Injury(
        ("alter database {0} set default_transaction_read_only = on",),
        sees="read-only",
        field=Field.DATABASE,
    ),
    "password": Injury(("alter role {0} password 'another'",), sees="another", field=Field.PASSWORD),
    "no password": Injury(("alter role {0} password null",), sees=MISSING, field=Field.PASSWORD),
    "password expired": Injury(
        ("alter role {0} valid until '2020-01-01'",), sees="expired", field=Field.PASSWORD
    ),
    "role limit": Injury(
        ("alter role {0} connection limit 1",), sees="limited to 1", field=Field.CONNECTIONS
    ),
    "no role limit": Injury(
        ("alter role {0} connection limit -1",), sees="unlimited", field=Field.CONNECTIONS
    ),
    "database limit": Injury(
        ("alter database {0} connection limit 2",),
        sees="limited to 2 for the database",
        field=Field.CONNECTIONS,
    ),
    "owner": Injury(
        ("alter database {0} owner to pg_monitor",),
        sees="owned by pg_monitor, closed to its role, without rights on schema public",
        field=Field.GRANTS,
    ),
    "connect revoked": Injury(
        ("revoke connect on database {0} from {0}",), sees="closed to its role", field=Field.GRANTS
    ),
    "closed": Injury(
        ("alter database {0} allow_connections false",), sees="closed to everybody", field=Field.GRANTS
    ),
    "open to all": Injury(
        ("grant connect on database {0} to public",), sees="open to every role", field=Field.GRANTS
    ),
    "template": Injury(("alter database {0} is_template true",), sees="a template", field=Field.GRANTS),
    "table taken": Injury(
        (),
        ("alter table kept owner to current_user",),
        "without rights on table public.kept and 1 more",
        Field.GRANTS,
    ),
    "table revoked": Injury(
        (), ("revoke update on kept from {0}",), "without rights on table public.kept", Field.GRANTS
    ),
    "sequence revoked": Injury(
        (),
        ("revoke all on sequence kept_id_seq from {0}",),
        "without rights on sequence public.kept_id_seq",
        Field.GRANTS,
    ),
    "all reassigned": Injury(
        (),
        ("reassign owned by {0} to pg_monitor",),
        "owned by pg_monitor, closed to its role, without rights on schema public and 5 more",
        Field.GRANTS,
    ),
    "public revoked": Injury(
        (),
        ("revoke all on schema public from public, pg_database_owner",),
        "without rights on schema public",
        Field.GRANTS,
    ),
    "their schema taken": Injury(
        (),
        ('alter schema "of {{theirs}}" owner to current_user',),
        'without rights on schema "of {theirs}"',
        Field.GRANTS,
    ),
    "extension": Injury((), ("drop extension vector cascade",), MISSING, Field.EXTENSION),
}
