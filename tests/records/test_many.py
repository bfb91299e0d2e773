"""Ten thousand deployments: lists and sweeps stay quick. The limits are several times what was measured."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from records import deployment, settle, waiting
from records.deployment import Filter
from records.session import connect, sessions
from tests.rows import a_workspace

MANY = 10_000
FILL = """
INSERT INTO deployments (id, short, workspace_id, name, source, status, plane, credentials, shareable,
  route_through_gateway, last_number, created_at, updated_at, source_revision_config, source_config,
  environment, flavour, custom_postgres, custom_redis)
SELECT gen_random_uuid(), lpad(to_hex(n), 8, '0'), :owner, 'agent-' || n, 'internal_source', 'READY', 'local',
  repeat('c', 200), false, false, 5, now() - n * interval '1 minute', now(), '{}', '{}',
  repeat('e', 800), 'pg', false, false
FROM generate_series(1, :many) AS n;
"""
REVISIONS = """
INSERT INTO revisions (id, deployment_id, number, source, status, status_since, detail, created_at,
  updated_at, attended_at, source_revision_config, source_config, environment, flavour, custom_postgres,
  custom_redis)
SELECT gen_random_uuid(), d.id, n, 'internal_source', 'DEPLOYED', now(), '', now(), now(), now(), '{}', '{}',
  repeat('e', 800), 'pg', false, false
FROM deployments d, generate_series(1, 5) AS n;
"""


@pytest.fixture
async def full(database: str) -> AsyncIterator[tuple[AsyncSession, UUID]]:
    engine = connect(database)
    async with sessions(engine)() as session:
        owner = (await a_workspace(session)).id
        await session.execute(text(FILL), {"owner": owner, "many": MANY})
        await session.execute(text(REVISIONS))
        await session.commit()
        await session.execute(text("ANALYZE"))
        yield session, owner
    await engine.dispose()


async def slowest(act: Callable[[], Awaitable[object]], times: int = 40) -> float:
    """The 95th percentile in milliseconds, after one call that warms up."""
    await act()
    took = []
    for _ in range(times):
        begin = time.perf_counter()
        await act()
        took.append((time.perf_counter() - begin) * 1000)
    return sorted(took)[int(times * 0.95) - 1]


async def test_ten_thousand(full: tuple[AsyncSession, UUID]) -> None:
    session, owner = full
    one = (await deployment.page(session, owner, Filter(), limit=1))[0].id

    def listed(limit: int = 20, offset: int = 0, **narrowed: str) -> Callable[[], Awaitable[object]]:
        return lambda: deployment.page(session, owner, Filter(**narrowed), limit=limit, offset=offset)  # type: ignore[arg-type]

    patience = timedelta(seconds=30)
    table: dict[str, tuple[Callable[[], Awaitable[object]], float]] = {
        "newest 20": (listed(), 50),
        "newest 100": (listed(limit=100), 100),
        "last page": (listed(offset=MANY - 20), 150),
        "by name": (listed(name="agent-5000"), 50),
        "as the CLI looks it up": (listed(name="agent-5000", name_contains="agent-5000"), 50),
        "by a part that many have": (listed(name_contains="agent-5"), 150),
        "intent": (lambda: settle.intent(session, one), 50),
        "sweep": (lambda: waiting.overdue(session, "local", patience=patience, stuck=patience), 300),
    }
    measured = {name: (await slowest(act), limit) for name, (act, limit) in table.items()}
    for name, (took, limit) in measured.items():
        print(f"{name:28} p95 {took:7.1f} ms (limit {limit:.0f})")
    assert {name: took for name, (took, limit) in measured.items() if took > limit} == {}
