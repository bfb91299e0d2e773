"""Orphans of every kind, taken away for real and twice; what is not ours, and what holds data, is not."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from dataplane.local.orphans import NotOurs, Orphans
from dataplane.local.programs import Program
from dataplane.local.supervisor import Supervisor
from tests.dataplane.local.test_strays import STUBBORN
from workflows.shapes import Resource, ResourceKind

SHORT = "0a1b2c3d"


@pytest.fixture
def orphans(home: Path, supervisor: Supervisor, postgres_admin_dsn: str) -> Orphans:
    return Orphans(home, supervisor, postgres_admin_dsn)


def left(home: Path) -> list[Path]:
    return [path for path in home.rglob(f"*{SHORT}*") if "locks" not in path.parts]


def sleeper(home: Path, name: str) -> Program:
    return Program(name, ("/bin/sleep", "1000"), home, home / "logs" / f"{name}.log", {"PATH": "/bin"})


async def test_a_server(home: Path, supervisor: Supervisor, orphans: Orphans) -> None:
    name, other = f"server-{SHORT}-3-0", f"server-{SHORT}-3-1"
    for one in (name, other):
        await supervisor.put(sleeper(home, one))
    (home / "run" / "rev" / f"{SHORT}-3-0.sock").touch()
    (home / "run" / "ran").mkdir()
    (home / "run" / "ran" / name).touch()
    for _ in range(2):
        await orphans.remove(Resource(kind=ResourceKind.PROCESS, name=name))
        assert [*await supervisor.all_states()] == [other]
    assert [path for path in left(home) if path.parts[-3] == "run"] == []
    assert supervisor.files.names() == [other]


async def test_a_stray_process(home: Path, orphans: Orphans) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", STUBBORN],
            env={"GRAPHYARD_SOCKET": f"{home}/run/rev/{SHORT}-3-{index}.sock"},
            stdout=subprocess.PIPE,
        )
        for index in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    await orphans.remove(Resource(kind=ResourceKind.PROCESS, name=f"server-{SHORT}-3-0"))
    assert processes[0].wait(10) == -signal.SIGKILL
    assert processes[1].poll() is None
    processes[1].kill()
    processes[1].wait()


@pytest.mark.parametrize("asked", [False, True])
async def test_a_valkey_and_its_data_only_when_asked(
    home: Path, supervisor: Supervisor, orphans: Orphans, asked: bool
) -> None:
    name, data = f"redis-{SHORT}", home / "data" / "redis" / SHORT / "appendonlydir"
    await supervisor.put(sleeper(home, name))
    data.mkdir(parents=True)
    (data / "appendonly.aof.1.incr.aof").write_text("set a 1")
    (home / "run" / "redis" / f"{SHORT}.sock").touch()
    orphan = Resource(kind=ResourceKind.REDIS, name=name, holds_data=asked)
    await orphans.remove(orphan)
    assert (await supervisor.state(name) is None) is asked
    assert data.exists() is not asked
    assert bool(left(home)) is not asked
    await orphans.remove(orphan)


async def test_an_empty_valkey_needs_no_asking(home: Path, supervisor: Supervisor, orphans: Orphans) -> None:
    await supervisor.put(sleeper(home, f"redis-{SHORT}"))
    (home / "data" / "redis" / SHORT).mkdir(parents=True)
    (home / "data" / "redis" / SHORT / "valkey.conf").write_text("port 0")
    await orphans.remove(Resource(kind=ResourceKind.REDIS, name=f"redis-{SHORT}"))
    assert left(home) == []
    assert await supervisor.all_states() == {}


@pytest.mark.parametrize("name", [f"my-agent-{SHORT}", SHORT])
async def test_a_route(home: Path, orphans: Orphans, name: str) -> None:
    for slot in range(4):
        (home / "run" / "up" / f"{SHORT}.{slot}").symlink_to("../rev/nowhere.sock")
    (home / "run" / "up" / f"my-agent-{SHORT}.on").touch()
    (home / "run" / "take" / f"{SHORT}-3").touch()
    (home / "run" / "up" / "other-ffffffff.on").touch()
    for _ in range(2):
        await orphans.remove(Resource(kind=ResourceKind.ROUTE, name=name))
    assert left(home) == []
    assert (home / "run" / "up" / "other-ffffffff.on").exists()


@pytest.fixture
async def database(postgres_admin_dsn: str) -> AsyncIterator[str]:
    """A database and its role, and somebody connected."""
    name = f"gy_orphan_{uuid4().hex[:8]}"
    async with await psycopg.AsyncConnection.connect(postgres_admin_dsn, autocommit=True) as admin:
        for statement in ("create role {}", "create database {0} owner {0}"):
            await admin.execute(sql.SQL(statement).format(sql.Identifier(name)))
        yield name
        for statement in ("drop database if exists {} with (force)", "drop role if exists {}"):
            await admin.execute(sql.SQL(statement).format(sql.Identifier(name)))


async def there(dsn: str, name: str) -> set[str]:
    async with await psycopg.AsyncConnection.connect(dsn) as admin:
        found = await admin.execute(
            "select 'role' from pg_roles where rolname = %(n)s"
            " union all select 'database' from pg_database where datname = %(n)s",
            {"n": name},
        )
        return {row[0] for row in await found.fetchall()}


async def test_a_database_only_when_asked_and_its_role_after_it(
    postgres_admin_dsn: str, orphans: Orphans, database: str
) -> None:
    role = Resource(kind=ResourceKind.ROLE, name=database)
    await orphans.remove(Resource(kind=ResourceKind.DATABASE, name=database))
    await orphans.remove(role)
    assert await there(postgres_admin_dsn, database) == {"role", "database"}
    inside = await psycopg.AsyncConnection.connect(postgres_admin_dsn, dbname=database)
    for _ in range(2):
        await orphans.remove(Resource(kind=ResourceKind.DATABASE, name=database, holds_data=True))
        assert await there(postgres_admin_dsn, database) == {"role"}
    for _ in range(2):
        await orphans.remove(role)
        assert await there(postgres_admin_dsn, database) == set()
    await inside.close()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (ResourceKind.PROCESS, "caddy"),
        (ResourceKind.PROCESS, "server-0a1b2c3d-1"),
        (ResourceKind.PROCESS, "server-0A1B2C3D-1-0"),
        (ResourceKind.PROCESS, "redis-0a1b2c3d"),
        (ResourceKind.REDIS, "redis-0a1b2c3d/.."),
        (ResourceKind.REDIS, "redis-*"),
        (ResourceKind.REDIS, "redis-0a1b2c3d\n"),
        (ResourceKind.ROUTE, "../0a1b2c3d"),
        (ResourceKind.ROUTE, "*"),
        (ResourceKind.ROLE, "postgres"),
        (ResourceKind.ROLE, "graphyard"),
        (ResourceKind.DATABASE, "graphyard"),
        (ResourceKind.DATABASE, "gy_0a1b2c3d"),
        (ResourceKind.DATABASE, 'gy_a"_0a1b2c3d'),
    ],
)
async def test_what_is_not_ours_is_refused(tmp_path: Path, kind: ResourceKind, name: str) -> None:
    """Before anybody is asked: there is nobody to ask here."""
    orphans = Orphans(tmp_path, Supervisor(tmp_path, patience=0), "host=/nowhere")
    with pytest.raises(NotOurs):
        await orphans.remove(Resource(kind=kind, name=name, holds_data=True))


async def test_two_at_once_do_it_once(home: Path, supervisor: Supervisor, orphans: Orphans) -> None:
    name = f"server-{SHORT}-1-0"
    await supervisor.put(sleeper(home, name))
    orphan = Resource(kind=ResourceKind.PROCESS, name=name)
    await asyncio.gather(orphans.remove(orphan), orphans.remove(orphan))
    assert await supervisor.all_states() == {}
