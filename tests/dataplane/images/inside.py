"""A bundle asked from within: by its own Python, away from the sources."""

import json
import subprocess
from pathlib import Path

from dataplane.images.bundle import Bundle


def run(bundle: Bundle, code: str, cwd: Path | None = None) -> str:
    """What a bundle's Python prints, started as a server would be, away from the sources."""
    done = subprocess.run(
        [str(bundle.python), "-c", code], cwd=cwd or "/", capture_output=True, text=True, check=False, env={}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def packages(bundle: Bundle) -> dict[str, str]:
    each = "{one.name: one.version for one in importlib.metadata.distributions()}"
    code = f"import importlib.metadata, json; print(json.dumps({each}))"
    found: dict[str, str] = json.loads(run(bundle, code))
    return found
