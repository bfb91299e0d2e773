"""Starts the stock LangGraph Server inside a deployment's own venv, with the cures it needs.

This runs with the agent's Python and beside the agent's packages: only the standard library and what the
server itself brings may be imported, and the server is patched in as few places as will do. Run by path, so
that nothing of ours is on the agent's import path.

- Crons: the runtime stores a user as JSON with a serializer that cannot.
- Addresses of databases with a `%` in them: the migrations take it for a placeholder.
- Runs: taken from the queue only while the marker file exists that the plane sets when this revision serves.
- Answers: whoever waits for a run is answered without its result if the run ends while the runtime looks it up.
- Schemas: two replicas that start at once on an empty database would make the same tables.
- A graph that does not load: the runtime reports it, then waits for ever for a listener of its own to end.
- Ending: on SIGTERM no new runs; those that run, and open streams, get `GRAPHYARD_DRAIN_SECONDS`. The rest
  is put back into the queue by the runtime itself, for the replicas that stay.
- Memory: a process that uses more than it may says so and ends, before the machine swaps.
- Probe: with the plane's token, graphs and schemas answer without the project's own auth.
- Pulse: with the same token, whether runs leave the queue. A server may answer everything and run nothing.
"""

import asyncio
import contextlib
import functools
import importlib
import json
import os
import signal
import sys
import threading
import time
import weakref
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PROBE, PULSE = "/graphyard/probe", "/graphyard/pulse"
TOKEN_HEADER = b"x-graphyard-probe"
REVISION_HEADER = b"x-graphyard-revision"
WATCH_SECONDS = 0.2
TURN = 0x67726170
"""Advisory locks are a database's own, so any number will do."""
PENDING = """
select count(*), extract(epoch from now() - min(greatest(r.created_at, (
  select max(s.updated_at) from runs s where s.thread_id = r.thread_id and s.status <> 'pending'))))
from runs r where r.status = 'pending' and r.created_at <= now() and not exists (
  select from runs o where o.thread_id = r.thread_id and o.status = 'running')
"""
"""Runs that the runtime would give out now: not before their time, not while their thread runs another."""
COUNT_SECONDS = 2.0
HANDOVER_SECONDS = 12.0
"""After the drain: connections are cut, what runs is put back (five seconds), pools are closed."""
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"class": "langgraph_api.logging.Formatter"}},
    "handlers": {
        "out": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "json"}
    },
    "root": {"handlers": ["out"], "level": os.environ.get("LOG_LEVEL", "INFO").upper()},
}


class Gate:
    """Whether this replica may take runs from the queue."""

    def __init__(self, marker: str | None) -> None:
        self._marker = marker
        self.closing = False
        self.asked = self.taken = self._born = time.monotonic()
        """When the queue asked for runs last, and when it was last given one."""

    @property
    def open_for(self) -> float:
        """Seconds since when it could have run something."""
        with contextlib.suppress(OSError):
            since = time.time() - os.stat(self._marker).st_mtime if self._marker else float("inf")
            return max(0.0, min(since, time.monotonic() - self._born))
        return 0.0

    @property
    def open(self) -> bool:
        return not self.closing and (self._marker is None or os.path.exists(self._marker))


def cure_crons() -> None:
    """Have the runtime's engine write JSON the way the server itself does."""
    import langgraph_runtime_pg.database as database
    from langgraph_api.serde import json_dumpb

    database.create_async_engine = functools.partial(
        database.create_async_engine, json_serializer=lambda value: json_dumpb(value).decode()
    )


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


def end_on_failure() -> None:
    """When graphs do not load, end even if the runtime's own ending hangs."""
    import langgraph_api.graph as graph

    collect = graph.collect_graphs_from_env

    async def collected(*arguments: Any, **named: Any) -> Any:
        try:
            return await collect(*arguments, **named)
        except BaseException:
            end_soon(1.0, status=3)
            raise

    graph.collect_graphs_from_env = collected


def end_soon(seconds: float, status: int) -> None:
    """End the process in a while, unless it has ended by then."""

    def end() -> None:
        sys.stdout.flush()
        os._exit(status)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def gate_runs(edition: str, gate: Gate) -> None:
    """Put the gate before the runtime's own taking of runs; its queue asks at least twice a second."""
    ops = importlib.import_module(f"langgraph_runtime_{edition}.ops")
    take = ops.Runs.next

    async def gated(*arguments: Any, **named: Any) -> Any:
        gate.asked = time.monotonic()
        if not gate.open:
            await asyncio.sleep(0.1)
            return
        async with contextlib.aclosing(take(*arguments, **named)) as runs:
            async for taken in runs:
                gate.taken = time.monotonic()
                yield taken
                if not gate.open:
                    return

    ops.Runs.next = staticmethod(gated)


def keep_streams() -> None:
    """Streams would end at the first SIGTERM; how long they may go on is decided by the server's shutdown."""
    import uvicorn
    from sse_starlette.sse import AppStatus

    if hasattr(AppStatus, "enable_automatic_graceful_drain"):
        AppStatus.enable_automatic_graceful_drain = False
    elif AppStatus.original_handler is not None:
        # Older releases have no such switch, only the handler they put in the place of uvicorn's.
        uvicorn.Server.handle_exit = AppStatus.original_handler  # type: ignore[method-assign]


def watch_memory(most_mb: int) -> None:
    """End this process when it really uses more than it may; what threads merely reserve does not count."""
    page = os.sysconf("SC_PAGE_SIZE")

    def watch() -> None:
        while True:
            used = int(Path("/proc/self/statm").read_text().split()[1]) * page >> 20
            if used > most_mb:
                said = {
                    "event": f"memory limit exceeded: {used} MB in use of {most_mb} MB allowed, ending",
                    "level": "critical",
                    "logger": "graphyard",
                }
                os.write(1, json.dumps(said).encode() + b"\n")
                os._exit(137)
            time.sleep(WATCH_SECONDS)

    threading.Thread(target=watch, name="graphyard-memory", daemon=True).start()


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


class Door:
    """The ASGI app around the server's: names the revision in every answer, and answers the plane's questions."""

    def __init__(self, app: Any, revision: str, token: str, pulse: Pulse) -> None:
        self._app = app
        self._questions = {PROBE: self._probe, PULSE: pulse.take}
        self._revision = revision.encode()
        self._token = token.encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = self._questions.get(scope["path"])
        if asked and self._token and dict(scope["headers"]).get(TOKEN_HEADER) == self._token:
            await self._answer(send, await asked())
            return

        async def named(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {
                    **message,
                    "headers": [*message.get("headers", ()), (REVISION_HEADER, self._revision)],
                }
            await send(message)

        await self._app(scope, receive, named)

    async def _answer(self, send: Any, told: Any) -> None:
        body = json.dumps(told).encode()
        # With its length, else it comes in chunks, also to callers that speak HTTP/1.0.
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (REVISION_HEADER, self._revision),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _probe(self) -> dict[str, Any]:
        """What each declared graph answers when asked for its schemas; `error` is empty for one that does."""
        import httpx

        graphs = list(json.loads(os.environ.get("LANGSERVE_GRAPHS") or "{}"))
        # The server's own name for requests from inside its process: the project's auth does not see them.
        transport = httpx.ASGITransport(self._app, root_path="/noauth")
        async with httpx.AsyncClient(transport=transport, base_url="http://probe", timeout=60) as client:
            errors = await asyncio.gather(*(self._ask(client, graph) for graph in graphs))
        return {"revision": self._revision.decode(), "graphs": dict(zip(graphs, errors, strict=True))}

    async def _ask(self, client: Any, graph: str) -> str:
        try:
            found = await client.post("/assistants/search", json={"graph_id": graph, "limit": 1})
            if found.status_code in (401, 403, 404, 405):
                return self._loaded(graph)
            if found.status_code != 200:
                return f"its assistant answers {found.status_code}: {found.text[:300]}"
            if not found.json():
                return "it has no assistant"
            schemas = await client.get(f"/assistants/{found.json()[0]['assistant_id']}/schemas")
            if schemas.status_code != 200:
                return f"its schemas answer {schemas.status_code}: {schemas.text[:300]}"
        except Exception as error:
            return f"{type(error).__name__}: {str(error)[:300]}"
        return ""

    def _loaded(self, graph: str) -> str:
        """For projects that switched these routes off or put a door of their own before them."""
        from langgraph_api.graph import GRAPHS

        return "" if graph in GRAPHS else "it was not loaded"


def main() -> None:
    """Everything before the server's own start, then the server until it ends."""
    take = os.environ.pop
    path, revision = take("GRAPHYARD_SOCKET"), take("GRAPHYARD_REVISION")
    token, marker = take("GRAPHYARD_PROBE_TOKEN", ""), take("GRAPHYARD_TAKE", None)
    drain, memory = float(take("GRAPHYARD_DRAIN_SECONDS", "60")), int(take("GRAPHYARD_MEMORY_MB", "0"))
    # As with the official image's `uvicorn`: the project's directory comes first on the import path.
    sys.path[0] = os.getcwd()
    if memory:
        watch_memory(memory)
    gate = Gate(marker)
    edition = os.environ["LANGGRAPH_RUNTIME_EDITION"]

    import uvicorn

    keep_streams()
    if edition == "pg":
        cure_crons()
        cure_addresses()
        hear_runs_out()
    gate_runs(edition, gate)
    queue = importlib.import_module(f"langgraph_runtime_{edition}.queue")

    class Server(uvicorn.Server):
        """uvicorn, except that it lets runs and streams finish before anything else ends."""

        def handle_exit(self, sig: int, frame: Any) -> None:
            gate.closing = True
            super().handle_exit(sig, frame)

        async def shutdown(self, sockets: Any = None) -> None:
            gate.closing = True
            for server in self.servers:
                server.close()
            for connection in list(self.server_state.connections):
                connection.shutdown()
            deadline = time.monotonic() + drain
            while time.monotonic() < deadline and not self.force_exit:
                if not self.server_state.connections and not queue.WORKERS:
                    break
                await asyncio.sleep(0.05)
            end_soon(HANDOVER_SECONDS, status=0)
            await super().shutdown(sockets)

    # The server must have patched what it patches before uvicorn or the project imports anything.
    app = importlib.import_module("langgraph_api.server").app
    end_on_failure()
    if edition == "pg":
        take_turns()
    config = uvicorn.Config(
        Door(app, revision, token, Pulse(edition, gate)),
        uds=path,
        log_config=LOGGING,
        access_log=False,
        timeout_graceful_shutdown=1,
        lifespan="on",
    )
    # What a project's import may have put there would end the process at once, and runs with it.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    server = Server(config)
    server.run()
    if not server.started:
        sys.exit(3)


if __name__ == "__main__":
    main()
