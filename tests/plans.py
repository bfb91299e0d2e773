"""What a query costs, in blocks that Postgres touched for it: the same on a busy machine as on a quiet one."""

from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncSession

EXPLAIN = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "


async def blocks(session: AsyncSession, act: Callable[[], Awaitable[object]]) -> int:
    """How many blocks (8 KiB) the queries of one act touch, cached or not."""
    connection = await session.connection()
    engine = connection.engine.sync_engine
    heard: list[tuple[str, Any]] = []

    def hear(_: Connection, __: Any, statement: str, parameters: Any, ___: Any, ____: bool) -> None:
        heard.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", hear)
    try:
        await act()
    finally:
        event.remove(engine, "before_cursor_execute", hear)
    total = 0
    for statement, parameters in heard:
        if statement.startswith(("SELECT", "WITH")):
            [plan] = (await connection.exec_driver_sql(EXPLAIN + statement, parameters)).scalar_one()
            total += plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]
    assert heard
    return total
