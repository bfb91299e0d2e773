"""Logs as they really grow: half lines, rotations by a real supervisord, restarts in the middle, floods."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dataplane.local.logs import Batch, Tailer
from workflows.lines import MOST_LINES, Line

SHORT = "0a1b2c3d"


@dataclass
class Inbox:
    """What was delivered; the same stream and position again is the same line, as on record."""

    lines: dict[tuple[str, int], Line] = field(default_factory=dict)
    repeats: int = 0
    batches: list[Batch] = field(default_factory=list)
    moved: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def take(self, batch: Batch) -> None:
        async with self.moved:
            self.batches.append(batch)
            for line in batch.lines:
                key = (line.stream, line.position)
                self.repeats += key in self.lines
                self.lines.setdefault(key, line)
            self.moved.notify_all()

    async def until(self, enough: Callable[["Inbox"], bool], seconds: float = 30) -> None:
        async with self.moved:
            try:
                await asyncio.wait_for(self.moved.wait_for(lambda: enough(self)), seconds)
            except TimeoutError:
                raise AssertionError(f"only these came: {self.messages[-20:]}") from None

    @property
    def messages(self) -> list[str]:
        return [line.message for line in self.lines.values()]


class House:
    """A logs directory, its tailer and where its lines arrive."""

    def __init__(self, home: Path) -> None:
        self.logs = home / "logs"
        self.marks = home / "shipped.json"
        self.inbox = Inbox()
        (self.logs / "deploy" / SHORT).mkdir(parents=True)
        (self.logs / "build" / SHORT).mkdir(parents=True)
        self.log = self.logs / "deploy" / SHORT / "3-0.log"

    def tailer(self, **options: float) -> Tailer:
        return Tailer(self.logs, self.marks, half_after=options.pop("half_after", 0.4), pause=0.2, **options)  # type: ignore[arg-type]

    @asynccontextmanager
    async def shipping(self, *, confirm: bool = True, **options: float) -> AsyncIterator[Inbox]:
        tailer = self.tailer(**options)

        async def ship() -> None:
            async with aclosing(tailer.batches()) as batches:
                async for batch in batches:
                    await self.inbox.take(batch)
                    if confirm:
                        tailer.confirm(batch)

        task = asyncio.create_task(ship())
        try:
            yield self.inbox
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def append(self, text: str | bytes, path: Path | None = None) -> None:
        with (path or self.log).open("ab") as file:
            file.write(text if isinstance(text, bytes) else text.encode())

    @property
    def marked(self) -> list[str]:
        return list(json.loads(self.marks.read_text())) if self.marks.exists() else []

    def rotate(self, backups: int = 3) -> None:
        for index in range(backups - 1, 0, -1):
            older = self.log.with_name(f"{self.log.name}.{index}")
            if older.exists():
                older.replace(self.log.with_name(f"{self.log.name}.{index + 1}"))
        self.log.replace(self.log.with_name(self.log.name + ".1"))
        self.log.touch()


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def numbered(first: int, last: int) -> str:
    return "".join(f"line {index}\n" for index in range(first, last))


def expected(first: int, last: int) -> list[str]:
    return [f"line {index}" for index in range(first, last)]


async def test_lines_of_servers_and_builds_arrive_with_their_place(house: House) -> None:
    build = house.logs / "build" / SHORT / "3.log"
    async with house.shipping() as inbox:
        house.append("first\n")
        await inbox.until(lambda box: len(box.lines) == 1)
        began = time.monotonic()
        house.append('{"at":"2026-11-23T01:00:00Z","level":"warning","message":"Resolving"}\n', build)
        await inbox.until(lambda box: len(box.lines) == 2)
        assert time.monotonic() - began < 3, "the kernel's events were not heard"
        house.append("second\n")
        await inbox.until(lambda box: len(box.lines) == 3)
    first, built, second = inbox.lines.values()
    assert (first.deployment, first.number, first.kind, first.replica) == (SHORT, 3, "deploy", "0")
    assert (built.kind, built.number, built.replica, built.level) == ("build", 3, None, "WARNING")
    assert built.at.isoformat() == "2026-11-23T01:00:00+00:00"
    assert first.stream == second.stream != built.stream
    assert (first.position, second.position) == (0, 6)
    assert Line.model_validate(first.model_dump())


async def test_a_new_deployments_log_is_found_at_once(house: House) -> None:
    async with house.shipping(look_around=300) as inbox:
        house.append("there\n")
        await inbox.until(lambda box: len(box.lines) == 1)
        await asyncio.sleep(1.2)  # past the second look, which would hide what the events must do
        fresh = house.logs / "deploy" / "ffffffff"
        fresh.mkdir()
        house.append("new\n", fresh / "1-0.log")
        await inbox.until(lambda box: "new" in box.messages, seconds=5)


async def test_other_files_are_left_alone(house: House) -> None:
    for name in ("api.log", f"deploy/{SHORT}/x.log", f"deploy/{SHORT}/3-0.log.gz", "deploy/nothex!/1-0.log"):
        (house.logs / name).parent.mkdir(parents=True, exist_ok=True)
        house.append("not ours\n", house.logs / name)
    outside = house.logs.parent / "secret"
    outside.write_text("not ours\n")
    (house.logs / "deploy" / SHORT / "9-9.log").symlink_to(outside)
    async with house.shipping() as inbox:
        house.append("ours\n")
        await inbox.until(lambda box: len(box.lines) >= 1)
        await asyncio.sleep(0.5)
    assert inbox.messages == ["ours"]


async def test_a_half_line_waits_for_its_end_and_is_taken_when_none_comes(house: House) -> None:
    async with house.shipping(half_after=1.0) as inbox:
        house.append("hel")
        await asyncio.sleep(0.4)
        house.append("lo\nleft unfin")
        await inbox.until(lambda box: "hello" in box.messages)
        assert inbox.messages == ["hello"]
        await inbox.until(lambda box: len(box.lines) == 2)
        house.append("ished\n")
        await inbox.until(lambda box: len(box.lines) == 3)
    assert inbox.messages == ["hello", "left unfin", "ished"]


async def test_a_traceback_that_comes_in_pieces_is_one_entry(house: House) -> None:
    async with house.shipping() as inbox:
        house.append('Traceback (most recent call last):\n  File "agent.py", line 1, in <module>\n')
        await asyncio.sleep(0.1)
        house.append("    import nothing\nModuleNotFoundError: No module named 'nothing'\n")
        await inbox.until(lambda box: len(box.lines) == 1)
    [line] = inbox.lines.values()
    assert line.level == "ERROR"
    assert line.message.count("\n") == 3


async def test_garbage_is_made_readable(house: House) -> None:
    async with house.shipping() as inbox:
        house.append(b"\xff\xfe\0binary\n" + b"x" * 300_000 + b"\nafter\n\n\n")
        await inbox.until(lambda box: len(box.lines) == 3)
    binary, long, after = inbox.lines.values()
    assert binary.message == "\ufffd\ufffd\ufffdbinary"
    assert len(long.message) < 17_000
    assert "cut" in long.message
    assert (after.message, after.position) == ("after", 10 + 300_001)
    for line in inbox.lines.values():
        Line.model_validate(line.model_dump())


async def test_rotation_loses_and_repeats_nothing_even_within_a_line(house: House) -> None:
    async with house.shipping() as inbox:
        house.append(numbered(0, 5) + "li")
        await inbox.until(lambda box: len(box.lines) == 5)
        house.rotate()
        house.append("ne 5\n" + numbered(6, 10))
        await inbox.until(lambda box: len(box.lines) == 10)
        for start in (10, 20, 30):  # faster than the tailer looks
            house.append(numbered(start, start + 10))
            house.rotate()
        house.append(numbered(40, 50))
        await inbox.until(lambda box: len(box.lines) == 50)
    assert inbox.messages == expected(0, 50)
    assert inbox.repeats == 0
    assert len({stream for stream, _ in inbox.lines}) == 1
    assert [position for _, position in inbox.lines] == sorted(position for _, position in inbox.lines)


async def test_a_restarted_tailer_goes_on_where_it_was_confirmed(house: House) -> None:
    house.append(numbered(0, 10))
    async with house.shipping() as inbox:
        await inbox.until(lambda box: len(box.lines) == 10)
    house.append(numbered(10, 20) + "li")
    house.rotate()
    house.append("ne 20\n" + numbered(21, 30))
    house.rotate()
    house.append(numbered(30, 40))
    async with house.shipping() as inbox:
        await inbox.until(lambda box: len(box.lines) == 40)
    assert inbox.messages == expected(0, 40)
    assert inbox.repeats == 0


async def test_unconfirmed_lines_come_again_under_the_same_name(house: House) -> None:
    house.append(numbered(0, 10) + "li")
    async with house.shipping(confirm=False) as inbox:
        await inbox.until(lambda box: len(box.lines) == 10)
    house.rotate()
    house.append("ne 10\n")
    async with house.shipping() as inbox:
        await inbox.until(lambda box: len(box.lines) == 11)
    assert inbox.messages == expected(0, 11)
    assert inbox.repeats == 10


@pytest.mark.parametrize("content", ["", "{", '{"x": 1}', "[]", '{"deploy/a": {"epoch": 1}}'])
async def test_lost_marks_cost_repeats_and_no_duplicates(house: House, content: str) -> None:
    house.append(numbered(0, 10))
    async with house.shipping() as inbox:
        await inbox.until(lambda box: len(box.lines) == 10)
    house.marks.write_text(content)
    house.append(numbered(10, 12))
    async with house.shipping() as inbox:
        await inbox.until(lambda box: len(box.lines) == 12)
    assert inbox.messages == expected(0, 12)


async def test_what_was_rotated_away_while_nobody_looked_hides_nothing_else(house: House) -> None:
    house.append(numbered(0, 10))
    async with house.shipping() as inbox:
        await inbox.until(lambda box: len(box.lines) == 10)
    for start in range(10, 60, 10):
        house.append(numbered(start, start + 10))
        house.rotate()
    house.append("end\n")
    async with house.shipping() as inbox:
        await inbox.until(lambda box: "end" in box.messages)
    assert inbox.messages == [*expected(0, 10), *expected(30, 60), "end"]


@pytest.mark.parametrize("running", [True, False])
async def test_a_truncated_log_is_read_from_its_beginning(house: House, running: bool) -> None:
    house.append(numbered(0, 10))
    async with house.shipping() as inbox:
        await inbox.until(lambda box: len(box.lines) == 10)
        if running:
            os.truncate(house.log, 0)
            await asyncio.sleep(0.4)
            house.append("anew\n")
            await inbox.until(lambda box: "anew" in box.messages)
    if not running:
        os.truncate(house.log, 0)
        house.append("anew\n")
        async with house.shipping() as inbox:
            await inbox.until(lambda box: "anew" in box.messages)
    assert inbox.messages == [*expected(0, 10), "anew"]


async def test_the_same_name_again_is_another_stream(house: House) -> None:
    """A file deleted and made anew may get the very inode of the old one."""
    async with house.shipping() as inbox:
        house.append("same\n")
        await inbox.until(lambda box: len(box.lines) == 1)
    house.log.unlink()
    house.append("other\n")
    async with house.shipping() as inbox:
        await inbox.until(lambda box: len(box.lines) == 2)
    assert inbox.messages == ["same", "other"]


async def test_a_removed_deployments_logs_are_forgotten(house: House) -> None:
    async with house.shipping(look_around=0.3) as inbox:
        house.append("one\n")
        await inbox.until(lambda box: len(box.lines) == 1)
        other = house.log.with_name("4-0.log")
        house.append("two\n", other)
        await inbox.until(lambda box: len(box.lines) == 2)
        house.log.unlink()
        until = time.monotonic() + 10
        while house.marked != [f"deploy/{SHORT}/4-0.log"]:
            assert time.monotonic() < until, house.marked
            await asyncio.sleep(0.05)
    held = [os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert not [path for path in held if SHORT in path]


async def test_a_flood_of_one_does_not_hold_up_the_others(house: House) -> None:
    count = 80_000
    house.append(numbered(0, count))
    async with house.shipping() as inbox:
        await inbox.until(lambda box: len(box.lines) >= MOST_LINES)
        other = house.log.with_name("4-0.log")
        house.append('{"event":"quiet","level":"info","timestamp":"2020-01-01T00:00:00Z"}\n', other)
        await inbox.until(lambda box: len(box.lines) == count + 1)
    assert inbox.messages.index("quiet") < count - 10_000


async def test_two_replicas_interleave_as_it_happened(house: House) -> None:
    for index in (0, 1):
        path = house.log.with_name(f"3-{index}.log")
        for second in range(index, 2000, 2):
            stamp = f"2026-11-23T01:{second // 60:02d}:{second % 60:02d}Z"
            house.append(json.dumps({"event": f"{second}", "level": "info", "timestamp": stamp}) + "\n", path)
    async with house.shipping() as inbox:
        await inbox.until(lambda box: len(box.lines) == 2000)
    assert inbox.messages == [str(second) for second in range(2000)]


async def test_raw_lines_of_one_moment_still_have_an_order(house: House) -> None:
    house.append(numbered(0, 1000))
    async with house.shipping() as inbox:
        await inbox.until(lambda box: len(box.lines) == 1000)
    times = [line.at for line in inbox.lines.values()]
    assert times == sorted(set(times))
    assert (times[-1] - times[0]).total_seconds() < 0.1


async def test_a_hundred_thousand_lines(house: House, record_property: Callable[[str, object], None]) -> None:
    event = {"event": "Request handled", "level": "info", "path": "/runs", "status": 200}
    lines = [json.dumps({**event, "timestamp": f"2026-11-23T01:00:00.{i:06d}Z"}) for i in range(100_000)]
    house.append("\n".join(lines) + "\n")
    began = time.monotonic()
    async with house.shipping() as inbox:
        await inbox.until(lambda box: len(box.lines) == 100_000, seconds=60)
    took = time.monotonic() - began
    record_property("lines per second", round(100_000 / took))
    print(f"\n100,000 lines in {took:.2f} s: {100_000 / took:,.0f} a second")
    assert all(len(batch.lines) <= MOST_LINES for batch in inbox.batches)
    assert took < 30


async def test_a_real_supervisor_rotates_under_it(house: House, tmp_path: Path) -> None:
    count = 6000
    program = tmp_path / "chatty.py"
    program.write_text(
        "import sys, time\n"
        f"for i in range({count}):\n"
        "    sys.stdout.write(f'line {i}\\n')\n"
        "    if i % 50 == 0: sys.stdout.flush(); time.sleep(0.01)\n"
        "sys.stdout.flush()\n"
    )
    conf = tmp_path / "supervisord.conf"
    conf.write_text(
        f"[supervisord]\nnodaemon=true\nlogfile={tmp_path}/supervisord.log\npidfile={tmp_path}/pid\n"
        f"[program:chatty]\ncommand={sys.executable} {program}\nstdout_logfile={house.log}\n"
        "stdout_logfile_maxbytes=8KB\nstdout_logfile_backups=3\nautorestart=false\nstartsecs=0\n"
    )
    supervisord = str(Path(sys.executable).with_name("supervisord"))
    process = subprocess.Popen(
        [supervisord, "-c", str(conf)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        async with house.shipping() as inbox:
            await inbox.until(lambda box: len(box.lines) >= count // 2)
        async with house.shipping() as inbox:
            await inbox.until(lambda box: "line 5999" in box.messages)
    finally:
        process.terminate()
        process.wait(20)
    assert house.log.with_name(house.log.name + ".3").exists()
    assert inbox.messages == expected(0, count)
    assert inbox.repeats == 0
