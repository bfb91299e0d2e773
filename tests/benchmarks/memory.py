"""What the control plane itself weighs, with one deployment and with twenty: total and slope.

Proportional set size, so that what processes share is counted once. Servers, Valkeys and the Postgres
backends that serve them are the deployments' own weight and are left out; a backend belongs to whoever it
is connected to.
"""

from pathlib import Path

import psutil

from tests.benchmarks.table import Row
from tests.stack import Stack

OWN = ("temporal", "caddy", "api", "worker", "supervisord", "keeper", "postgres")


def weigh(stack: Stack) -> dict[str, float]:
    """MB by part."""
    weighed: dict[str, float] = dict.fromkeys(OWN, 0.0)
    for part, process in _processes(stack.home):
        try:
            weighed[part] += process.memory_full_info().pss / 1e6
        except psutil.NoSuchProcess:
            continue
    return weighed


def rows(one: dict[str, float], twenty: dict[str, float], added: int) -> list[Row]:
    total, more = sum(one.values()), sum(twenty.values())
    parts = ", ".join(f"{name} {size:.0f}" for name, size in sorted(one.items(), key=lambda item: -item[1]))
    return [
        Row("control plane's idle memory, 1 deployment", f"{total:.0f} MB ({parts})"),
        Row(f"the same with {added + 1} deployments", f"{more:.0f} MB, {(more - total) / added:.1f} MB each"),
    ]


def _processes(home: Path) -> list[tuple[str, psutil.Process]]:
    found = []
    for process in psutil.process_iter(["cmdline", "name"]):
        line = " ".join(process.info["cmdline"] or [])
        part = _part(line, str(home), process)
        if part:
            found.append((part, process))
    return found


def _part(line: str, home: str, process: psutil.Process) -> str | None:
    if line.startswith("postgres:"):
        ours = "graphyard" in line or not any(word.startswith("gy_") for word in line.split())
        return "postgres" if ours and home in " ".join(process.parent().cmdline()) else None  # type: ignore[union-attr]
    if home not in line and home not in process.environ().get("GRAPHYARD_HOME", ""):
        return None
    if f"{home}/run/rev/" in line or "valkey-server" in line:
        return None
    for part in OWN:
        if part in line:
            return part
    return None
