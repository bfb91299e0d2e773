"""supervisord and its keeper: kill either and the other brings it up again; nothing is ever there twice."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import psutil
import pytest

from dataplane.local.programs import Program
from dataplane.local.supervisor import Supervisor
from deploy.embedded import parts
from deploy.embedded.daemon import Daemon, alone
from deploy.embedded.down import down
from deploy.embedded.home import Home
from deploy.embedded.orphans import clear, orphans
from deploy.embedded.troubles import Trouble

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


class Ground:
    """A home with a supervisord, a keeper and one program that does nothing."""

    def __init__(self, home: Home) -> None:
        home.make()
        self.home = home
        self.supervisor = Supervisor(home.root)
        self.daemon = Daemon(home, self.supervisor)

    async def start(self, code: str = "import time; time.sleep(600)") -> None:
        await self.daemon.start()
        await self.supervisor.put(parts.keeper(self.home))
        argv = (sys.executable, "-I", "-c", code)
        await self.supervisor.put(Program("sleeper", argv, self.home.root, self.home.log("sleeper")))
        await until(self.settled)

    async def settled(self) -> bool:
        return bool(await self.pid("sleeper") and self.daemon.keeper())

    async def pid(self, name: str) -> int:
        if not await self.supervisor.alive():
            return 0
        state = await self.supervisor.state(name)
        return state.pid if state and state.state == "RUNNING" else 0

    @property
    def daemon_pid(self) -> int:
        return int((self.home.root / "run" / "supervisord.pid").read_text())

    def living(self) -> list[str]:
        """What is left of this stack, by command line."""
        mark = str(self.home.root)
        return [
            " ".join(process.info["cmdline"])
            for process in psutil.process_iter(["cmdline", "status"])
            if process.info["status"] != psutil.STATUS_ZOMBIE
            and mark in " ".join(process.info["cmdline"] or [])
        ]


async def until(true: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not await true():
            await asyncio.sleep(0.05)


@pytest.fixture
async def ground(home: Home) -> AsyncIterator[Ground]:
    made = Ground(home)
    yield made
    await down(home, made.supervisor, made.daemon)


async def test_a_killed_supervisord_comes_back_with_everything_once(ground: Ground) -> None:
    await ground.start()
    first, sleeper = ground.daemon_pid, await ground.pid("sleeper")
    os.kill(first, signal.SIGKILL)

    async def back() -> bool:
        return ground.daemon_pid != first and await ground.settled()

    await until(back)
    assert await ground.pid("sleeper") != sleeper
    assert not psutil.pid_exists(sleeper) or psutil.Process(sleeper).status() == psutil.STATUS_ZOMBIE
    assert (
        len(
            [line for line in ground.living() if "supervisor.supervisord -n" in line and "keeper" not in line]
        )
        == 1
    )


async def test_a_killed_keeper_comes_back_and_keeps(ground: Ground) -> None:
    await ground.start()
    keeper, sleeper, first = await ground.pid("keeper"), await ground.pid("sleeper"), ground.daemon_pid
    os.kill(keeper, signal.SIGKILL)

    async def kept() -> bool:
        return await ground.pid("keeper") not in (0, keeper) and bool(ground.daemon.keeper())

    await until(kept)
    assert (ground.daemon_pid, await ground.pid("sleeper")) == (first, sleeper)
    os.kill(first, signal.SIGKILL)

    async def back() -> bool:
        return ground.daemon_pid != first and await ground.settled()

    await until(back)


async def test_after_both_were_killed_a_start_finds_a_clean_ground(ground: Ground) -> None:
    await ground.start()
    first = ground.daemon_pid
    for pid in (await ground.pid("keeper"), first):
        os.kill(pid, signal.SIGKILL)
    await ground.daemon.start()
    await until(ground.settled)
    assert ground.daemon_pid != first


async def test_a_second_start_changes_nothing(ground: Ground) -> None:
    await ground.start()
    before = ground.daemon_pid, await ground.pid("sleeper"), await ground.pid("keeper")
    await ground.start()
    assert (ground.daemon_pid, await ground.pid("sleeper"), await ground.pid("keeper")) == before


async def test_a_stale_socket_and_pid_file_are_no_obstacle(ground: Ground) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(ground.home.supervisor_socket))
    (ground.home.root / "run" / "supervisord.pid").write_text(str(os.getpid()))
    await ground.start()


async def test_a_supervisord_that_cannot_start_says_why(ground: Ground) -> None:
    (ground.home.root / "etc" / "conf.d" / "bad.conf").write_text("[program:bad]\n")
    began = time.monotonic()
    with pytest.raises(
        Trouble, match=r"The supervisor did not start \(.*program:bad does not specify a command"
    ):
        await ground.daemon.start()
    assert time.monotonic() - began < 10


async def test_down_ends_all_of_it_and_a_second_time_nothing(ground: Ground) -> None:
    await ground.start()
    assert await down(ground.home, ground.supervisor, ground.daemon) == 2
    assert ground.living() == []
    assert await down(ground.home, ground.supervisor, ground.daemon) == 0


@pytest.mark.parametrize("later", [0, 0.05, 0.1, 0.15, 0.2])
async def test_down_right_after_a_kill_leaves_no_keeper_to_undo_it(ground: Ground, later: float) -> None:
    """Nor what it began: it looks every tenth of a second."""
    await ground.start()
    os.kill(ground.daemon_pid, signal.SIGKILL)
    await asyncio.sleep(later)
    await down(ground.home, ground.supervisor, ground.daemon)
    await asyncio.sleep(1)
    assert ground.living() == []


async def test_an_orphan_that_will_not_end_is_killed_and_a_bystander_is_not(ground: Ground) -> None:
    await ground.start(STUBBORN)
    stubborn = await ground.pid("sleeper")
    environment = {**os.environ, "GRAPHYARD_HOME": str(ground.home.root)}
    editor = await asyncio.create_subprocess_exec("sleep", "600", env=environment)
    for pid in (await ground.pid("keeper"), ground.daemon_pid):
        os.kill(pid, signal.SIGKILL)
    assert stubborn in [process.pid for process in orphans(ground.home)]
    await clear(ground.home, patience=0.5)
    assert orphans(ground.home) == []
    assert editor.returncode is None
    editor.kill()
    await editor.wait()


async def test_one_up_at_a_time(home: Home) -> None:
    home.make()
    order: list[str] = []

    def second() -> None:
        with alone(home):
            order.append("second")

    with alone(home):
        waiting = asyncio.create_task(asyncio.to_thread(second))
        await asyncio.sleep(0.3)
        order.append("first")
    await waiting
    assert order == ["first", "second"]


async def test_a_path_may_hold_what_paths_may_hold(home: Home) -> None:
    odd = Ground(Home(home.root.parent / "it's (an) ödd = päth, & all"))
    odd.home.check()
    try:
        await odd.start()
        assert odd.daemon_pid
    finally:
        await down(odd.home, odd.supervisor, odd.daemon)
