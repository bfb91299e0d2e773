"""Whether runs leave a replica's queue, in numbers: a server may answer everything and run nothing."""

import asyncio
import importlib
import time
from datetime import UTC, datetime
from typing import Any

from .graphyard_gate import Gate

PENDING = """
select count(*), extract(epoch from now() - min(greatest(r.created_at, (
  select max(s.updated_at) from runs s where s.thread_id = r.thread_id and s.status <> 'pending'))))
from runs r where r.status = 'pending' and r.created_at <= now() and not exists (
  select from runs o where o.thread_id = r.thread_id and o.status = 'running')
"""
"""Runs that the runtime would give out now: not before their time, not while their thread runs another."""
COUNT_SECONDS = 2.0


class Pulse:
    """What this replica's queue is at, in numbers; what cannot be told now is None."""

    def __init__(self, edition: str, gate: Gate) -> None:
        self._edition = edition
        self._gate = gate

    async def take(self) -> dict[str, Any]:
        from langgraph_api import config

        queue = importlib.import_module(f"langgraph_runtime_{self._edition}.queue")
        pending, oldest = await self._pending()
        now = time.monotonic()
        return {
            "open": self._gate.open,
            "open_for": self._gate.open_for,
            "pending": pending,
            "oldest": oldest,
            "busy": len(queue.WORKERS),
            "of": config.N_JOBS_PER_WORKER,
            "asked": now - self._gate.asked,
            "taken": now - self._gate.taken,
        }

    async def _pending(self) -> tuple[int | None, float | None]:
        try:
            counted = self._in_postgres() if self._edition == "pg" else self._in_memory()
            return await asyncio.wait_for(counted, COUNT_SECONDS)
        except Exception:
            return None, None

    async def _in_postgres(self) -> tuple[int | None, float | None]:
        import langgraph_runtime_pg.database as database
        from sqlalchemy import text

        async with database.connect() as connection:
            count, oldest = (await connection.session.execute(text(PENDING))).one()
        return count, None if oldest is None else float(oldest)

    async def _in_memory(self) -> tuple[int | None, float | None]:
        database = importlib.import_module(f"langgraph_runtime_{self._edition}.database")
        now = datetime.now(UTC)
        async with database.connect() as connection:
            runs = list(connection.store["runs"])
        running = {str(run["thread_id"]) for run in runs if run["status"] == "running"}
        since = [
            run["created_at"]
            for run in runs
            if run["status"] == "pending"
            and run["created_at"] <= now
            and str(run["thread_id"]) not in running
        ]
        return len(since), (now - min(since)).total_seconds() if since else None
