"""What somebody with psql does to a deployment's database and its role."""

from tests.drift.patient import Patient

GUEST = "somebody_else"


async def drop_the_role(patient: Patient) -> None:
    """What it owned goes to the superuser, as Postgres demands first."""
    await patient.sql("reassign owned by {} to current_user", "drop owned by {}", inside=True)
    await patient.sql("drop role {}")


async def rename_the_role(patient: Patient) -> None:
    await patient.sql(f'alter role {{}} rename to "{patient.database}_old"')


async def forbid_the_login(patient: Patient) -> None:
    await patient.sql("alter role {} nologin")


async def change_the_password(patient: Patient) -> None:
    await patient.sql("alter role {} password 'guessed'")


async def expire_the_password(patient: Patient) -> None:
    await patient.sql("alter role {} valid until '2001-01-01'")


async def make_a_superuser(patient: Patient) -> None:
    await patient.sql("alter role {} superuser")


async def allow_one_connection(patient: Patient) -> None:
    await patient.sql("alter role {} connection limit 1")


async def allow_one_connection_to_the_database(patient: Patient) -> None:
    await patient.sql("alter database {} connection limit 1")


async def revoke_the_database(patient: Patient) -> None:
    await patient.sql("revoke all on database {} from {}")


async def open_the_database_to_all(patient: Patient) -> None:
    await patient.sql("grant connect on database {} to public")


async def give_the_database_away(patient: Patient) -> None:
    await patient.sql("alter database {} owner to current_user")


async def drop_the_extension(patient: Patient) -> None:
    await patient.sql("drop extension vector", inside=True)


async def rename_the_database(patient: Patient) -> None:
    """Nobody may be in it for that."""
    await _alone(patient)
    await patient.sql(f'alter database {{}} rename to "{patient.database}_old"')
    await patient.sql(f'alter database "{patient.database}_old" allow_connections true')


async def close_the_database(patient: Patient) -> None:
    await _alone(patient)


async def make_it_read_only(patient: Patient) -> None:
    """As hosting companies do when a disk is full; for everybody who connects from now on."""
    await patient.sql("alter database {} set default_transaction_read_only = on")


async def drop_the_database(patient: Patient) -> None:
    """The one injury that costs data; what is made anew is empty."""
    await patient.sql("drop database {} with (force)")


async def revoke_the_schema(patient: Patient) -> None:
    await patient.sql(
        "alter schema public owner to current_user",
        "revoke all on schema public from {}, public",
        inside=True,
    )


async def give_a_table_away(patient: Patient) -> None:
    await patient.sql("alter table threads owner to current_user", inside=True)


async def revoke_a_table(patient: Patient) -> None:
    await patient.sql("revoke insert, delete on threads from {}", inside=True)


async def _alone(patient: Patient) -> None:
    await patient.sql(
        "alter database {} allow_connections false",
        "select pg_terminate_backend(pid) from pg_stat_activity"
        f" where datname = '{patient.database}' and pid <> pg_backend_pid()",
    )
