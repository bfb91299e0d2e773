"""An ending is told by the kernel, and what is followed costs no more than it has to."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataplane.local import endings
from dataplane.local.endings import Endings


@pytest.fixture
def sleepers() -> Iterator[list[subprocess.Popen[bytes]]]:
    running = [subprocess.Popen(["sleep", "100"]) for _ in range(3)]
    yield running
    for one in running:
        one.kill()
        one.wait()


def descriptors() -> int:
    return sum("pidfd" in os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink())


async def test_an_ending_is_told_before_anybody_has_looked(sleepers: list[subprocess.Popen[bytes]]) -> None:
    stirred = asyncio.Event()
    followed = Endings(stirred)
    followed.follow([one.pid for one in sleepers])
    followed.follow([one.pid for one in sleepers])
    assert descriptors() == 3
    assert not stirred.is_set()
    sleepers[1].kill()
    async with asyncio.timeout(5):
        await stirred.wait()
    assert descriptors() == 2
    stirred.clear()
    sleepers[1].wait()
    followed.follow([sleepers[1].pid])
    assert stirred.is_set()
    assert descriptors() == 0
    stirred.clear()
    followed.follow([sleepers[0].pid])
    followed.close()
    assert descriptors() == 0
    assert not stirred.is_set()


async def test_no_more_are_followed_than_there_is_room_for(
    sleepers: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endings, "MOST", 2)
    followed = Endings(asyncio.Event())
    followed.follow([one.pid for one in sleepers])
    assert descriptors() == 2
    followed.follow([sleepers[2].pid])
    assert descriptors() == 1
    followed.close()
