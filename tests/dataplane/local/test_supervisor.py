"""A real supervisord: programs put, changed, left alone, removed, and back after everything died."""

import asyncio
import json
import os
import signal
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from dataplane.local.programs import Files, Program, Sealed
from dataplane.local.supervisor import State, Supervisor, Unanswered
from sealing import Keyring


class Daemon(Protocol):
    async def start(self) -> None: ...
    def kill(self) -> None: ...


def sleeper(home: Path, name: str = "sleeper", **changes: object) -> Program:
    program = Program(name, ("/bin/sleep", "1000"), home, home / "logs" / f"{name}.log", {"PATH": "/bin"})
    # One that has just been started may lose its signal and take all the time it has to stop.
    program = replace(program, stop_seconds=2)
    return replace(program, **changes)  # type: ignore[arg-type]


async def until(supervisor: Supervisor, name: str, holds: Callable[[State], bool]) -> State:
    async with asyncio.timeout(30):
        while True:
            state = await supervisor.state(name)
            if state is not None and holds(state):
                return state
            await asyncio.sleep(0.05)


async def test_put_starts_and_then_leaves_alone(home: Path, supervisor: Supervisor) -> None:
    assert await supervisor.put(sleeper(home)) is True
    pid = (await until(supervisor, "sleeper", lambda it: it.state == "RUNNING")).pid
    assert await supervisor.put(sleeper(home)) is False
    assert (await until(supervisor, "sleeper", lambda it: it.pid > 0)).pid == pid


@pytest.mark.parametrize(
    "change",
    [{"env": {"PATH": "/bin", "A": '"quoted" % ;x'}}, {"stop_seconds": 3}, {"argv": ("/bin/sleep", "999")}],
)
async def test_a_changed_program_is_started_anew(
    home: Path, supervisor: Supervisor, change: dict[str, object]
) -> None:
    await supervisor.put(sleeper(home))
    pid = (await until(supervisor, "sleeper", lambda it: it.pid > 0)).pid
    assert await supervisor.put(replace(sleeper(home), **change)) is True  # type: ignore[arg-type]
    await until(supervisor, "sleeper", lambda it: it.pid not in (0, pid))


async def test_a_spec_written_before_a_crash_counts_at_the_next_put(
    home: Path, supervisor: Supervisor
) -> None:
    await supervisor.put(sleeper(home))
    changed = sleeper(home, env={"PATH": "/usr/bin"})
    supervisor.files.write(changed)
    assert await supervisor.put(changed) is True


async def test_put_starts_again_what_was_stopped(home: Path, supervisor: Supervisor) -> None:
    await supervisor.put(sleeper(home))
    await supervisor.stop(["sleeper"])
    assert await supervisor.put(sleeper(home)) is True
    await until(supervisor, "sleeper", lambda it: it.state == "RUNNING")


async def test_removed_means_no_process_no_files_and_no_memory(home: Path, supervisor: Supervisor) -> None:
    await supervisor.put(sleeper(home))
    pid = (await until(supervisor, "sleeper", lambda it: it.pid > 0)).pid
    await supervisor.remove("sleeper")
    assert await supervisor.all_states() == {}
    assert not Path(f"/proc/{pid}").exists()
    assert list((home / "etc" / "conf.d").iterdir()) == list((home / "etc" / "specs").iterdir()) == []
    await supervisor.remove("sleeper")


async def test_programs_come_back_when_the_daemon_was_killed(
    home: Path, supervisor: Supervisor, daemon: Daemon
) -> None:
    await supervisor.put(sleeper(home))
    first = (await until(supervisor, "sleeper", lambda it: it.state == "RUNNING")).pid
    daemon.kill()
    asking = asyncio.create_task(supervisor.put(sleeper(home, "another")))
    async with asyncio.timeout(10):
        while Path(f"/proc/{first}/exe").exists():
            await asyncio.sleep(0.02)
    await daemon.start()
    await asking
    await until(supervisor, "sleeper", lambda it: it.state == "RUNNING" and it.pid != first)
    await until(supervisor, "another", lambda it: it.state == "RUNNING")


async def test_no_daemon_is_said_so(home: Path) -> None:
    with pytest.raises(Unanswered, match="does not answer"):
        await Supervisor(home, patience=0.3).all_states()


async def test_sealed_values_reach_the_process_and_nothing_else(home: Path, supervisor: Supervisor) -> None:
    keys = home / "secrets" / "sealing.keys"
    Keyring.create(keys)
    ring = Keyring.load(keys)
    sealed = (
        Sealed("one", ring.seal_map({"A": "marker-low", "B": "marker-b"}, "one")),
        Sealed("two", ring.seal_map({"A": "marker-high"}, "two")),
    )
    await supervisor.put(sleeper(home, env={"PATH": "/bin", "B": "plain"}, sealed=sealed, keys=keys))

    def ready(state: State) -> bool:
        return state.pid > 0 and b"/bin/sleep" in Path(f"/proc/{state.pid}/cmdline").read_bytes()

    pid = (await until(supervisor, "sleeper", ready)).pid
    environ = dict(
        item.split("=", 1) for item in Path(f"/proc/{pid}/environ").read_text().split("\0") if "=" in item
    )
    assert environ == {
        "PATH": "/bin",
        "A": "marker-high",
        "B": "marker-b",
        "SUPERVISOR_SERVER_URL": f"unix://{home}/run/supervisor.sock",
    }
    for path in home.rglob("*"):
        if path.is_file():
            assert b"marker-" not in path.read_bytes(), path
    spec = home / "etc" / "specs" / "sleeper.json"
    assert stat.S_IMODE(spec.stat().st_mode) == 0o600
    assert json.loads(spec.read_text())["sealed"][0]["owner"] == "one"


async def test_a_program_waits_for_what_it_needs(home: Path, supervisor: Supervisor) -> None:
    needed = home / "run" / "needed.sock"
    await supervisor.put(sleeper(home, after=(str(needed),)))
    pid = (await until(supervisor, "sleeper", lambda it: it.pid > 0)).pid
    server = await asyncio.start_unix_server(lambda r, w: w.close(), needed)
    async with asyncio.timeout(20):
        while b"/bin/sleep" not in Path(f"/proc/{pid}/cmdline").read_bytes():
            await asyncio.sleep(0.02)
    server.close()


async def test_the_signal_of_a_dead_daemon_is_the_programs_own(
    home: Path, supervisor: Supervisor, daemon: Daemon
) -> None:
    """Postgres needs SIGINT; what arrives is written down by a shell that traps it."""
    traps = "; ".join(f"trap 'echo {name} > {home}/got; exit 0' {name}" for name in ("INT", "TERM"))
    script = f"{traps}; echo up; while :; do sleep 0.05; done"
    program = sleeper(home, argv=("/bin/sh", "-c", script), death_signal=signal.SIGINT)
    await supervisor.put(program)
    log = program.log
    async with asyncio.timeout(20):
        while not log.exists() or "up" not in log.read_text():
            await asyncio.sleep(0.02)
    daemon.kill()
    async with asyncio.timeout(10):
        while not (home / "got").exists() or not (home / "got").read_text():
            await asyncio.sleep(0.02)
    assert (home / "got").read_text() == "INT\n"


def test_names_cannot_break_a_file(home: Path) -> None:
    for name in ("", "a b", "a\n[x]", "../a", "-a", "A"):
        with pytest.raises(ValueError, match="cannot name"):
            sleeper(home, name)


def test_paths_with_percent_and_spaces_survive(home: Path) -> None:
    program = sleeper(home, log=home / "100% log")
    conf = program.conf(home / "a b" / "50%.json")
    assert "100%% log" in conf
    assert "'" in conf.split("command=")[1].splitlines()[0]
    assert "50%%.json" in conf
    assert os.sep in conf


async def test_files_that_somebody_else_wrote_are_told(home: Path) -> None:
    files = Files(home)
    program = Program("one", ("/bin/sleep", "60"), home, home / "logs" / "one.log")
    spec, conf = home / "etc" / "specs" / "one.json", home / "etc" / "conf.d" / "one.conf"
    assert files.described("one") == "its spec is missing, its conf is missing"
    files.write(program)
    assert files.described("one") == ""
    spec.chmod(0o640)
    conf.chmod(0)
    assert files.described("one") == "its spec has mode 0640, its conf has mode 0000"
    assert files.write(program) is False
    assert files.described("one") == ""
    spec.write_text(spec.read_text() + " ")
    assert files.described("one") == "its spec is not the one that was written"
    files.write(program)
    conf.write_text("[program:one]\n")
    assert files.described("one") == "its spec is not the one that was written"
    files.write(program)
    spec.write_bytes(b"\xff")
    assert files.write(program) is True
    assert files.described("one") == ""
