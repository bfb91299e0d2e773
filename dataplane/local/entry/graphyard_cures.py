"""What the stock server and its runtime need to have mended: each cure a patch in one place, and why.

To be applied before the project is imported.
"""

import asyncio
import functools
import os
import re
import uuid
import weakref
from typing import Any

JAVASCRIPT = re.compile(r"\.[cm]?[jt]sx?:")
"""How a graph's place is told from one in Python."""
TURN = 0x67726170
"""Advisory locks are a database's own, so any number will do."""


def cure_crons() -> None:
    """Have the runtime's engine write JSON the way the server itself does."""
    import langgraph_runtime_pg.database as database
    from langgraph_api.serde import json_dumpb

    database.create_async_engine = functools.partial(
        database.create_async_engine, json_serializer=lambda value: json_dumpb(value).decode()
    )


def cure_javascript() -> None:
    """Graphs in JavaScript are handed what they are to run as JSON, by a writer that does not know the kind of ids
    that the runtime's database driver gives out: no run would ever begin."""
    if not JAVASCRIPT.search(os.environ.get("LANGSERVE_GRAPHS", "")):
        return
    import langgraph_api.js.remote as remote

    write = remote.default_command
    remote.default_command = lambda value: str(value) if isinstance(value, uuid.UUID) else write(value)


def cure_addresses() -> None:
    """Alembic's configuration expands `%`; a password that had to be quoted would stop every start."""
    import langgraph_runtime_pg.migrate as migrate

    address = migrate.to_sync_url
    migrate.to_sync_url = lambda uri: address(uri).replace("%", "%%")


def hear_runs_out() -> None:
    """Have whoever waits for a run listen once more after it is over, for what was said last is still under way.

    The runtime looks a run up after half a second of silence. It ends the answer when the run is over by then,
    whatever has come meanwhile: a caller would get `{}` or the state before the last step.
    """
    import langgraph_runtime_pg.ops as ops

    follow, look_up = ops._stream_run_queue, ops._poll_run_status
    over: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
    """Of a task that waits: the run of which it knows that it is over."""

    def under_way(run: Any) -> bool:
        return run is not None and run["status"] in ("pending", "running")

    async def followed(queue: Any, run: Any, *arguments: Any) -> Any:
        if run is not None and not under_way(run):
            over[asyncio.current_task()] = str(run["run_id"])
        async for frame in follow(queue, run, *arguments):
            yield frame

    async def looked_up(run_id: Any, *arguments: Any) -> Any:
        run = await look_up(run_id, *arguments)
        task = asyncio.current_task()
        if under_way(run) or over.get(task) == str(run_id):
            return run
        over[task] = str(run_id)
        return {**(run or {}), "status": "running"}

    ops._stream_run_queue, ops._poll_run_status = followed, looked_up


def take_turns() -> None:
    """Have one replica at a time bring the schema up to date."""
    import langgraph_runtime_pg.database as database
    import langgraph_runtime_pg.lifespan as lifespan
    import psycopg

    start_pool = database.start_pool

    async def start() -> None:
        connection = await psycopg.AsyncConnection.connect(
            database.to_psycopg_uri(), autocommit=True, connect_timeout=30
        )
        async with connection:
            # Asked again and again, never waited for: an index made concurrently waits for every statement
            # that is under way, and one that waits for this lock would be.
            while True:
                row = await (await connection.execute("select pg_try_advisory_lock(%s)", [TURN])).fetchone()
                if row and row[0]:
                    break
                await asyncio.sleep(0.1)
            await start_pool()

    lifespan.start_pool = start


def keep_streams() -> None:
    """Streams would end at the first SIGTERM; how long they may go on is decided by the server's shutdown."""
    import uvicorn
    from sse_starlette.sse import AppStatus

    if hasattr(AppStatus, "enable_automatic_graceful_drain"):
        AppStatus.enable_automatic_graceful_drain = False
    elif AppStatus.original_handler is not None:
        # Older releases have no such switch, only the handler they put in the place of uvicorn's.
        uvicorn.Server.handle_exit = AppStatus.original_handler  # type: ignore[method-assign]
