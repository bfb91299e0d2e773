"""Starts the stock LangGraph Server inside a deployment's own venv, with the cures it needs.

This runs with the agent's Python and beside the agent's packages: only the standard library and what the
server itself brings may be imported, and the server is patched in as few places as will do. Run by path, with the
files beside it as a package that only it knows, so that nothing of ours is on the agent's import path.

- Crons: the runtime stores a user as JSON with a serializer that cannot.
- Graphs in JavaScript: their part of the server cannot be handed the runtime's kind of ids.
- Addresses of databases with a `%` in them: the migrations take it for a placeholder.
- Runs: taken from the queue only while this revision serves, as the plane's marker file or the Service tells.
- Answers: whoever waits for a run is answered without its result if the run ends while the runtime looks it up.
- Answers that wait for a run begin with the result: proxies cut off some that began before.
- Schemas: two replicas that start at once on an empty database would make the same tables.
- A graph that does not load: the runtime reports it, then waits for ever for a listener of its own to end.
- Ending: on SIGTERM no new runs; those that run, and open streams, get `GRAPHYARD_DRAIN_SECONDS`. The rest
  is put back into the queue by the runtime itself, for the replicas that stay.
- Memory: a process that uses more than it may says so and ends, before the machine swaps.
- Probe: with the plane's token, graphs and schemas answer without the project's own auth.
- Pulse: with the same token, whether runs leave the queue. A server may answer everything and run nothing.

On a cluster it listens on an address, where a proxy leads callers by a prefix that the server knows nothing of.
"""

import asyncio
import importlib
import os
import signal
import sys
import time
import types
from pathlib import Path
from typing import Any

if not __package__:
    # Run by path. The folder itself would do as an import path, but then its names would be there for the project.
    __package__ = "graphyard_beside"
    beside = types.ModuleType(__package__)
    beside.__path__ = [str(Path(__file__).parent)]
    sys.modules[__package__] = beside

from .graphyard_cures import (
    cure_addresses,
    cure_crons,
    cure_javascript,
    hear_runs_out,
    keep_streams,
    take_turns,
)
from .graphyard_door import Door
from .graphyard_endings import end_on_failure, end_soon, watch_memory
from .graphyard_gate import Gate, gate_runs, leave
from .graphyard_holding import Holding
from .graphyard_lingering import Lingering
from .graphyard_pulse import Pulse

HANDOVER_SECONDS = 12.0
"""After the drain: connections are cut, what runs is put back (five seconds), pools are closed."""
KEEP_SECONDS = 620
"""Longer than proxies keep a connection that is idle: whoever closes it first should not be the one who may be
written to at that moment."""
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"class": "langgraph_api.logging.Formatter"}},
    "handlers": {
        "out": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "json"}
    },
    "root": {"handlers": ["out"], "level": os.environ.get("LOG_LEVEL", "INFO").upper()},
}


def place(path: str | None, address: str | None) -> dict[str, Any]:
    """Where to listen: on a socket of this machine, or at `host:port`."""
    if address is None:
        return {"uds": path}
    host, _, port = address.rpartition(":")
    return {"host": host, "port": int(port), "timeout_keep_alive": KEEP_SECONDS}


def main() -> None:
    """Everything before the server's own start, then the server until it ends."""
    take = os.environ.pop
    path, address = take("GRAPHYARD_SOCKET", None), take("GRAPHYARD_LISTEN", None)
    revision, prefix = take("GRAPHYARD_REVISION"), take("GRAPHYARD_PREFIX", "")
    token, marker = take("GRAPHYARD_PROBE_TOKEN", ""), take("GRAPHYARD_TAKE", None)
    service = take("GRAPHYARD_SERVICE", None)
    drain, memory = float(take("GRAPHYARD_DRAIN_SECONDS", "60")), int(take("GRAPHYARD_MEMORY_MB", "0"))
    # As with the official image's `uvicorn`: the project's directory comes first on the import path.
    sys.path[0] = os.getcwd()
    if memory:
        watch_memory(memory)
    gate = Gate(leave(marker, service, revision))
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
    cure_javascript()
    if edition == "pg":
        take_turns()
    config = uvicorn.Config(
        Lingering(Holding(Door(app, revision, token, Pulse(edition, gate), prefix))),
        **place(path, address),
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
