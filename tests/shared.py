"""The contract's checks and the lab live beside the project, not in it: where they are, or why a test
cannot run.
"""

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("GRAPHYARD_SHARED", Path(__file__).parents[2] / "shared"))


def shared(name: str) -> Path:
    """A file of the folder beside the project; without it the test is skipped, in CI it fails."""
    path = SHARED / name
    if not path.exists():
        message = f"{path} is not here; set GRAPHYARD_SHARED to the folder that holds {name}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return path
