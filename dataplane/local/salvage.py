"""A Valkey's files of which some part cannot be read: without that part, so that it starts with the rest.

What is cut off or set aside is kept beside it; nobody can say for sure that it was worth nothing.
"""

import contextlib
import shutil
import subprocess
import time
from pathlib import Path

import structlog

from dataplane.local.durable import DIRECTORY, LOG

log = structlog.get_logger()

DAMAGED = (
    b"Bad file format reading the append only file",
    b"Unexpected end of file reading the append only file",
    b"Error reading the RDB preamble of the append only file",
    b"Invalid AOF manifest file format",
    b"Wrong signature trying to load DB from file",
    b"Error loading the RDB",
    b"Internal error in RDB reading",
    b"Short read or OOM loading DB",
)
"""What it says before it ends for that reason, and for no other that may pass."""
TAIL = 64 * 1024
CHECKER = "valkey-check-aof"
"""A server called by this name checks files instead of serving."""
CHECK_SECONDS = 300


def says_damaged(path: Path, since: int) -> bool:
    """Whether its log tells of damage, from that byte on; rotated meanwhile, all of it counts."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, 2)
            file.seek(max(since if since <= end else 0, end - TAIL))
            text = file.read()
    except OSError:
        return False
    return any(words in text for words in DAMAGED)


def cut(binary: Path, data: Path) -> None:
    """Cut every file of commands where it stops making sense; nothing may be running on them."""
    files = sorted(
        (data / DIRECTORY).glob(f"{LOG}.*.incr.aof"), key=lambda path: int(path.name.split(".")[2])
    )
    damaged = [path for path in files if not _checks(binary, path)]
    if not damaged:
        return
    kept = _aside(data)
    with contextlib.suppress(FileExistsError):
        shutil.copytree(data / DIRECTORY, kept)
    for path in damaged:
        whole = path.stat().st_size
        _checks(binary, path, "--fix")
        log.warning(
            "a Valkey's file was damaged and is cut",
            file=str(path),
            of=whole,
            to=path.stat().st_size,
            kept=kept.name,
        )


def set_aside(data: Path) -> None:
    """Have it begin with nothing; nothing may be running on its files."""
    kept = _aside(data).with_suffix(".whole")
    with contextlib.suppress(FileNotFoundError):
        (data / DIRECTORY).rename(kept)
        log.error("a Valkey's files were damaged beyond repair: it begins anew, and empty", kept=str(kept))


def _aside(data: Path) -> Path:
    return data / f"damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"


def _checks(binary: Path, path: Path, *how: str) -> bool:
    done = subprocess.run(
        [CHECKER, *how, str(path)],
        executable=binary,
        input=b"y\n",
        capture_output=True,
        timeout=CHECK_SECONDS,
        check=False,
        env={},
    )
    return done.returncode == 0
