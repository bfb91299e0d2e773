"""Ends of a server's process that are ours: when graphs do not load, when an ending hangs, when memory is used up."""

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

WATCH_SECONDS = 0.2


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
