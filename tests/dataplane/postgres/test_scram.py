"""Against a verifier of which the password is known, and against what is none."""

from collections.abc import Callable

import psycopg
import pytest

from dataplane.postgres.scram import proves


@pytest.fixture(scope="module")
def verifier(postgres_admin_dsn: str) -> str:
    """As Postgres itself makes one."""
    with psycopg.connect(postgres_admin_dsn) as admin:
        admin.execute("create role scram_test password 'pencil'")
        row = admin.execute("select rolpassword from pg_authid where rolname = 'scram_test'").fetchone()
        admin.rollback()
    assert row is not None
    return str(row[0])


def test_only_its_own_password_is_proven(verifier: str) -> None:
    assert proves(verifier, "pencil")
    assert not proves(verifier, "Pencil")
    assert not proves(verifier, "")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda verifier: None,
        lambda verifier: "",
        lambda verifier: "md5d41d8cd98f00b204e9800998ecf8427e",
        lambda verifier: verifier.replace("SHA-256", "SHA-1"),
        lambda verifier: verifier.replace("$4096:", "$many:"),
        lambda verifier: verifier.replace("$4096:", "$0:"),
        lambda verifier: verifier[:-1],
        lambda verifier: verifier.rpartition(":")[0] + ":AAAA",
        lambda verifier: verifier.rpartition(":")[0],
    ],
)
def test_what_is_no_verifier_of_ours_proves_nothing(
    verifier: str, spoil: Callable[[str], str | None]
) -> None:
    assert not proves(spoil(verifier), "pencil")
