"""Replicas whose supervisord was killed while they ended: found by their sockets, and seen to."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataplane.local import strays

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: None)
print("up", flush=True)
time.sleep(60)
"""


@pytest.fixture
def process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", STUBBORN],
        env={"GRAPHYARD_SOCKET": f"{tmp_path}/run/rev/0a1b2c3d-7-0.sock"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()


async def test_one_is_found_by_its_socket(tmp_path: Path, process: subprocess.Popen[str]) -> None:
    socket = f"{tmp_path}/run/rev/0a1b2c3d-7-0.sock"
    assert strays.sockets(f"{tmp_path}/run/rev/0a1b2c3d-") == {socket}
    assert strays.sockets(f"{tmp_path}/run/rev/0a1b2c3d-70-") == set()
    assert [one.pid for one in strays.strays(f"{tmp_path}/run/rev/0a1b2c3d-7-")] == [process.pid]


async def test_one_is_waited_for(tmp_path: Path, process: subprocess.Popen[str]) -> None:
    ending = asyncio.create_task(strays.end(f"{tmp_path}/run/rev/0a1b2c3d-7-", at_once=False))
    await asyncio.sleep(0.6)
    assert not ending.done()
    process.kill()
    await asyncio.wait_for(ending, 5)


async def test_one_is_ended_where_nothing_is_waited_for(
    tmp_path: Path, process: subprocess.Popen[str]
) -> None:
    began = time.monotonic()
    await strays.end(f"{tmp_path}/run/rev/0a1b2c3d-7-", at_once=True)
    assert time.monotonic() - began < 5
    assert process.wait(5) == -9
