"""Programs on a leash: what they say, how they end, and that they never outlive us."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dataplane.images.run import Failed, Killed, environment, run

ENDLESS = "import os, subprocess, sys, time; child = subprocess.Popen(['sleep', '600']); " + (
    "print(os.getpid(), child.pid, flush=True); time.sleep(600)"
)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def gone(*pids: int) -> None:
    async with asyncio.timeout(10):
        while any(map(alive, pids)):
            await asyncio.sleep(0.01)


async def test_hears_every_line_as_it_comes(tmp_path: Path) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    code = (
        "import sys; print('one', flush=True); sys.stdin.read(); print('x' * 20000); sys.stderr.write('two')"
    )
    await run([sys.executable, "-c", code], tmp_path, environment(), heard.put_nowait)
    lines = [heard.get_nowait() for _ in range(heard.qsize())]
    assert lines[0] == "one"
    assert lines[-1] == "two"
    assert sum(len(line) for line in lines[1:-1]) == 20000


async def test_ends_as_the_program_ended(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "print('http://me:hush@x/y'); raise SystemExit(3)"]
    with pytest.raises(Failed) as failed:
        await run(argv, tmp_path, environment(), lambda _: None)
    assert (failed.value.code, failed.value.lines) == (3, ["http://***@x/y"])
    with pytest.raises(Killed):
        await run(
            [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"],
            tmp_path,
            environment(),
            lambda _: None,
        )


async def test_cancelling_ends_the_program_and_its_children(tmp_path: Path) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    running = asyncio.create_task(
        run([sys.executable, "-c", ENDLESS], tmp_path, environment(), heard.put_nowait)
    )
    pids = [int(pid) for pid in (await asyncio.wait_for(heard.get(), 20)).split()]
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await gone(*pids)


async def test_a_killed_worker_takes_them_along(tmp_path: Path) -> None:
    code = (
        "import asyncio, pathlib, sys; from dataplane.images.run import run, environment\n"
        f"asyncio.run(run([sys.executable, '-c', {ENDLESS!r}], pathlib.Path('/'), environment(), "
        "lambda line: print(line, flush=True)))"
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]
    )
    assert worker.stdout is not None
    line = await asyncio.to_thread(worker.stdout.readline)
    pids = [int(pid) for pid in line.split()]
    assert all(map(alive, pids))
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    await gone(*pids)


async def test_a_background_process_does_not_hold_us(tmp_path: Path) -> None:
    heard: list[str] = []
    code = "import subprocess; print('done', flush=True); subprocess.Popen(['sleep', '600'])"
    async with asyncio.timeout(20):
        await run([sys.executable, "-c", code], tmp_path, environment(), heard.append)
    assert heard == ["done"]


def test_builds_see_the_registry_but_none_of_our_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHYARD_PLANE_TOKEN", "hush")
    monkeypatch.setenv("UV_INDEX", "http://127.0.0.1/simple")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    seen = environment()
    assert not [name for name in seen if name.startswith("GRAPHYARD")]
    assert seen["UV_INDEX"] == "http://127.0.0.1/simple"
    assert seen["https_proxy"] == "http://127.0.0.1:1"
    assert seen["PATH"] == os.environ["PATH"]
