"""What tests of every package may ask for: a real Postgres, and databases with our schema in it."""

import fcntl
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from xdist.scheduler import LoadScopeScheduling

from records.migrations import upgrade
from records.session import Sessions, connect
from tests.postgres import Server

pytest_plugins = ["tests.stack"]


CLUSTER = ("tests/kubernetes/", "tests/dataplane/kubernetes/", "tests/deploy/helm/")
"""Where tests share the one cluster."""
TOGETHER = {
    "the door": ("tests/kubernetes/test_journey.py", "tests/kubernetes/test_kills.py"),
    "builds": (
        *(f"tests/dataplane/kubernetes/images/test_{name}.py" for name in ("builds", "surroundings")),
        *(f"tests/dataplane/kubernetes/test_{name}.py" for name in ("plane", "javascript")),
    ),
    "releases": ("tests/deploy/helm/", "tests/kubernetes/test_hybrid.py"),
    "a team's release": ("tests/kubernetes/test_production.py",),
    "drift": ("tests/drift/",),
}
"""What shares one installation or stack, and what would be too much at once for a few cores."""
OWN = tuple(
    f"tests/dataplane/kubernetes/test_{name}.py" for name in ("databases_drift", "drift", "servers", "upkeep")
)
"""Whose tests share nothing: each is given to whoever is free."""
HURTING = "tests/kubernetes/test_kills.py"
"""Where the cluster itself is killed: everybody else keeps away meanwhile."""
LOCKS = Path(tempfile.gettempdir()) / f"graphyard-tests-{os.getuid()}"


def together(nodeid: str) -> str | None:
    """The name under which it goes together with others."""
    return next((name for name, prefixes in TOGETHER.items() if nodeid.startswith(prefixes)), None)


class ByWhatIsShared(LoadScopeScheduling):  # type: ignore[misc]  # untyped
    """With several processes a file's tests stay together, for what its fixtures made, unless they are of those above.
    The marker that `--dist loadgroup` goes by is lost on the way with pytest 9.2."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(OWN):
            return nodeid
        return together(nodeid) or nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByWhatIsShared:
    return ByWhatIsShared(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first, so that no process is left alone with one of them when the others are done. Whoever asks
    for the fixture `cluster` needs one."""
    for item in items:
        if item.nodeid.startswith(CLUSTER) and "cluster" in getattr(item, "fixturenames", ()):
            item.add_marker("cluster")
    order = [*TOGETHER, None]
    items.sort(
        key=lambda item: (
            order.index(together(item.nodeid)),
            item.nodeid.startswith(HURTING),
            item.nodeid.startswith(OWN),
            item.get_closest_marker("stack") is None,
        )
    )


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Tests of the cluster go side by side, except that one which hurts it is alone with it."""
    if item.get_closest_marker("cluster") is None:
        return (yield)
    LOCKS.mkdir(exist_ok=True)
    hurts = item.nodeid.startswith(HURTING)
    with (LOCKS / "turn").open("w") as turn, (LOCKS / "cluster").open("w") as cluster:
        # Who wants to be alone holds the turn while the others finish, so that nobody slips in before it.
        fcntl.flock(turn, fcntl.LOCK_EX)
        fcntl.flock(cluster, fcntl.LOCK_EX if hurts else fcntl.LOCK_SH)
        fcntl.flock(turn, fcntl.LOCK_UN)
        return (yield)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the whole session, started when the first test asks."""
    server = Server(tmp_path_factory.mktemp("postgres"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres_admin_dsn(postgres_server: Server) -> str:
    """A superuser's address, of the database `postgres`."""
    return postgres_server.dsn()


@pytest.fixture(scope="session")
def migrated(postgres_server: Server) -> str:
    """The name of a database with our schema, for others to be copied from. Nobody stays connected to it."""
    name = "template_migrated"
    _execute(postgres_server, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    upgrade(postgres_server.dsn(name))
    return name


@pytest.fixture(scope="session")
def shared_database(postgres_server: Server, migrated: str) -> str:
    """A database with our schema for tests that roll back whatever they did."""
    name = "shared"
    copy = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(migrated))
    _execute(postgres_server, copy)
    return postgres_server.dsn(name)


@pytest.fixture
async def ledger(shared_database: str) -> AsyncIterator[Sessions]:
    """Sessions of one connection whose outer transaction is rolled back, so code under test may commit."""
    engine = connect(shared_database, pool=1, overflow=0)
    async with engine.connect() as connection:
        outer = await connection.begin()
        yield async_sessionmaker(connection, expire_on_commit=False, join_transaction_mode="create_savepoint")
        await outer.rollback()
    await engine.dispose()


@pytest.fixture
async def session(ledger: Sessions) -> AsyncIterator[AsyncSession]:
    """One session of the rolled-back connection."""
    async with ledger() as made:
        yield made


@pytest.fixture
def make_database(postgres_server: Server) -> Iterator[Callable[[str], str]]:
    """Copies of a database, dropped after the test; answers their addresses."""
    made: list[sql.Identifier] = []

    def make(template: str) -> str:
        name = f"test_{uuid4().hex[:12]}"
        made.append(sql.Identifier(name))
        _execute(
            postgres_server,
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(made[-1], sql.Identifier(template)),
        )
        return postgres_server.dsn(name)

    yield make
    for name in made:
        _execute(postgres_server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@pytest.fixture
def database(make_database: Callable[[str], str], migrated: str) -> str:
    """A fresh database with our schema: for tests that need real commits, or several connections."""
    return make_database(migrated)


def _execute(server: Server, statement: sql.Composed) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(statement)
