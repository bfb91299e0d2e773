"""Hands that hurt a cluster which this machine carries itself, and bring it back.

Everything is found by what the cluster wrote down of itself: a part by its pid file, a container by the name of
its pod. Where the cluster is somebody else's there is nothing to kill, and the test says so.
"""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

STATE = Path(os.environ.get("KUBE_STATE", "/var/lib/kube-single"))


def part(name: str) -> psutil.Process:
    """A part of the cluster, by the pid and start time it noted."""
    place = STATE / "pids" / name
    if not place.is_file():
        pytest.skip(f"{place} is not here: this cluster's parts are not this machine's to kill")
    pid, _ = place.read_text().split()
    return psutil.Process(int(pid))


async def restart_part(name: str) -> None:
    """Kill -9 a part and start it again as it was, at once: what is not an API server's or etcd's is put right by
    `up` as well, but those two it takes for the remains of a cluster, which it clears away."""
    before = part(name)
    argv, env, cwd = before.cmdline(), before.environ(), before.cwd()
    before.send_signal(signal.SIGKILL)
    await asyncio.to_thread(before.wait, 10)
    with (STATE / "logs" / f"{name}.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *argv,
            env=env,
            cwd=cwd,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    stat = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    (STATE / "pids" / name).write_text(f"{process.pid} {stat[19]}\n")


def processes(pod: str) -> Iterator[psutil.Process]:
    """The processes in a pod's containers, by the name of their host as a file tells it: some overwrite their
    environment with a title."""
    for process in psutil.process_iter():
        try:
            if Path(f"/proc/{process.pid}/root/etc/hostname").read_text().strip() == pod:
                yield process
        except OSError:
            continue


async def kill_pod(pod: str, limit: float = 30) -> None:
    """Kill -9 everything that runs in a pod, once something does; its containers start again as if they had
    crashed."""
    async with asyncio.timeout(limit):
        while not (found := await asyncio.to_thread(lambda: list(processes(pod)))):
            await asyncio.sleep(0.1)
    for process in found:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
