"""Logs of the api and the worker: readable for machines, and silent about what a failing function held."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import structlog, telemetry
from settings import Settings
telemetry.configure(Settings(log_json={json}))
def fail(password):
    raise RuntimeError("it broke")
try:
    fail("".join(["mar", "ker"]))
except RuntimeError:
    structlog.get_logger().exception("step failed", step="build")
"""


@pytest.mark.parametrize("json", [True, False])
def test_a_traceback_names_the_place_and_no_local_variable(json: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(json=json)],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    said = done.stdout + done.stderr
    assert "step failed" in said
    assert "RuntimeError: it broke" in said
    assert "in fail" in said
    assert "marker" not in said
