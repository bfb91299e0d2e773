"""Ten thousand deployments: what lists and sweeps read does not grow with them, or by one reading of the table."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from records import deployment, settle, waiting
from records.deployment import Filter
from records.session import connect, sessions
from tests.plans import blocks
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


async def test_ten_thousand(full: tuple[AsyncSession, UUID]) -> None:
    session, owner = full
    one = (await deployment.page(session, owner, Filter(), limit=1))[0].id

    def listed(limit: int = 20, offset: int = 0, **narrowed: str) -> Callable[[], Awaitable[object]]:
        return lambda: deployment.page(session, owner, Filter(**narrowed), limit=limit, offset=offset)  # type: ignore[arg-type]

    patience = timedelta(seconds=30)
    pages = text("SELECT relpages FROM pg_class WHERE relname = 'deployments'")
    once = 1.2 * (await session.scalars(pages)).one()
    # Deployments may be read through once, their revisions (five times as many) never.
    table: dict[str, tuple[Callable[[], Awaitable[object]], float]] = {
        "newest 20": (listed(), 30),
        "newest 100": (listed(limit=100), 60),
        "last page": (listed(offset=MANY - 20), once),
        "by name": (listed(name="agent-5000"), 10),
        "as the CLI looks it up": (listed(name="agent-5000", name_contains="agent-5000"), 10),
        "by a part that many have": (listed(name_contains="agent-5"), once),
        "intent": (lambda: settle.intent(session, one), 50),
        "sweep": (lambda: waiting.overdue(session, "local", patience=patience, stuck=patience), once),
    }
    measured = {name: (await blocks(session, act), limit) for name, (act, limit) in table.items()}
    for name, (touched, limit) in measured.items():
        print(f"{name:28} {touched:6} blocks (limit {limit:.0f})")
    assert {name: touched for name, (touched, limit) in measured.items() if touched > limit} == {}
