"""What the control plane itself weighs, with one deployment and with twenty: total and slope.

Proportional set size, so that what processes share is counted once. Servers, Valkeys and the Postgres
backends that serve them are the deployments' own weight and are left out.
"""

from contextlib import suppress

import psutil

from tests.benchmarks.table import Row
from tests.stack import Stack

PARTS = ("temporal", "caddy", "api", "worker", "supervisord", "keeper", "postgres")
THEIRS = ": gy_"
"""Titles of backends begin `postgres: <role>`, and the roles of deployments begin so."""


async def weigh(stack: Stack) -> dict[str, float]:
    """MB by part; Postgres with its helpers and the backends of the records."""
    weighed = {}
    for part in PARTS:
        main = psutil.Process(await stack.pid(part))
        own = [main, *main.children()] if part == "postgres" else [main]
        weighed[part] = sum(_size(process) for process in own)
    return weighed


def _size(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        if THEIRS not in " ".join(process.cmdline()):
            return float(process.memory_full_info().pss) / 1e6
    return 0.0


def rows(one: dict[str, float], twenty: dict[str, float], added: int) -> list[Row]:
    total, more = sum(one.values()), sum(twenty.values())
    parts = ", ".join(f"{name} {size:.0f}" for name, size in sorted(one.items(), key=lambda item: -item[1]))
    return [
        Row("control plane's idle memory, 1 deployment", f"{total:.0f} MB ({parts})"),
        Row(f"the same with {added + 1} deployments", f"{more:.0f} MB, {(more - total) / added:.1f} MB each"),
    ]
