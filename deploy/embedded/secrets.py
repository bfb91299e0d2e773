"""The stack's own secrets: made once, at random, each in a file that only its owner reads."""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from deploy.embedded.home import Home
from deploy.embedded.troubles import Trouble
from sealing import Keyring

ADMIN = "graphyard_admin"
RECORDS = "graphyard"


@dataclass(frozen=True)
class Secrets:
    """What the parts of one stack trust each other by."""

    postgres_admin: str
    postgres_records: str
    plane_token: str

    def admin_dsn(self, port: int, database: str = "postgres") -> str:
        """The superuser's, for making databases and roles."""
        return f"postgresql://{ADMIN}:{self.postgres_admin}@127.0.0.1:{port}/{database}"

    def records_url(self, port: int) -> str:
        """The records' own role, in SQLAlchemy's spelling."""
        return f"postgresql+psycopg://{RECORDS}:{self.postgres_records}@127.0.0.1:{port}/{RECORDS}"


def settle(home: Home) -> Secrets:
    """Find the secrets, or make them; never anew beside databases that were made with lost ones."""
    directory = home.root / "secrets"
    names = ("sealing.keys", "postgres-admin.password", "postgres-records.password")
    lost = [name for name in names if not (directory / name).exists()]
    if lost and home.initialised.exists():
        raise Trouble(
            f"{directory / lost[0]} is gone, and without it nobody can open what is in {home.postgres}: put"
            " it back from a backup, or give everything up with `graphyard down --purge`."
        )
    Keyring.create(home.sealing_keys)
    return Secrets(
        postgres_admin=_kept(directory / "postgres-admin.password"),
        postgres_records=_kept(directory / "postgres-records.password"),
        plane_token=_kept(directory / "plane.token"),
    )


def _kept(path: Path) -> str:
    """The secret in a file; it is put in place whole, so a crash leaves none that is half written."""
    if not path.exists():
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
        fresh.rename(path)
    return path.read_text().strip()
