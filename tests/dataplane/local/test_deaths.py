"""Tables of what supervisors and servers leave behind, and what that says of their deaths."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dataplane.local import seen
from dataplane.local.deaths import Death, Deaths, Kills, parse, tail, words
from dataplane.local.supervisor import State

NAME = "server-1f2e3d4c-3-0"
LOG = f"""\
2026-11-23 06:00:00,100 INFO spawned: '{NAME}' with pid 100
2026-11-23 06:00:10,200 INFO success: {NAME} entered RUNNING state, process has stayed up for > than 10 seconds
2026-11-23 06:01:00,250 WARN exited: {NAME} (terminated by SIGKILL; not expected)
2026-11-23 06:01:00,300 INFO spawned: '{NAME}' with pid 101
2026-11-23 06:01:03,400 WARN exited: {NAME} (exit status 3; not expected)
2026-11-23 06:01:04,500 INFO spawned: '{NAME}' with pid 102
2026-11-23 06:02:00,000 INFO exited: {NAME} (exit status 0; expected)
2026-11-23 06:02:01,000 INFO spawned: '{NAME}' with pid 103
2026-11-23 06:02:20,000 WARN exited: server-1f2e3d4c-3-1 (terminated by SIGSEGV (core dumped); not expected)
2026-11-23 06:03:00,000 INFO waiting for {NAME} to stop
2026-11-23 06:03:01,000 INFO stopped: {NAME} (exit status 0)
2026-11-23 06:03:02,000 WARN stopped: {NAME} (terminated by SIGKILL)
2026-11-23 06:03:03,000 INFO gave up: {NAME} entered FATAL state, too many start retries too quickly
a line of somebody else, exited: {NAME} (exit status 1; not expected)
2026-11-23 06:04:00,0"""


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-23 {text}").astimezone(UTC)


def test_ends_that_nobody_asked_for() -> None:
    assert [(one.name[-3:], one.how, one.at, one.born) for one in parse(LOG)] == [
        ("3-0", "SIGKILL", at("06:01:00.250"), at("06:00:00.100")),
        ("3-0", "exit status 3", at("06:01:03.400"), at("06:01:00.300")),
        ("3-0", "exit status 0", at("06:02:00"), at("06:01:04.500")),
        ("3-1", "SIGSEGV", at("06:02:20"), None),
    ]


async def test_a_log_that_was_rotated_a_moment_ago(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    first, second = LOG[: LOG.index("2026-11-23 06:01:04")], LOG[LOG.index("2026-11-23 06:01:04") :]
    (logs / "supervisord.log.1").write_text(first)
    (logs / "supervisord.log").write_text(second)
    deaths = Deaths(tmp_path)
    assert len(await deaths.since(at("06:00:00"), "server-1f2e3d4c-")) == 4
    assert [one.how for one in await deaths.since(at("06:01:30"), "server-1f2e3d4c-3-0")] == ["exit status 0"]
    with (logs / "supervisord.log").open("a") as log:
        log.write(
            f"00 INFO nothing\n2026-11-23 06:05:00,000 WARN exited: {NAME} (exit status 7; not expected)\n"
        )
    assert [one.how for one in await deaths.since(at("06:04:00"), "server-")] == ["exit status 7"]
    assert await Deaths(tmp_path / "elsewhere").since(at("06:00:00"), "server-") == []


def line(event: str, moment: str) -> str:
    stamp = at(moment).isoformat().replace("+00:00", "Z")
    return f'{{"event": "{event}", "level": "info", "timestamp": "{stamp}"}}'


def test_the_words_of_one_life() -> None:
    said = [
        line("an earlier life", "05:59:00"),
        "Traceback (most recent call last):",
        line("starting", "06:00:01"),
        "something without a time",
        line("the last", "06:00:59.9"),
        "Fatal Python error",
        line("a later life", "06:01:02"),
        "and what it says",
    ]
    life = words("\n".join(said), at("06:00:00"), at("06:01:00")).splitlines()
    # What tells no time after an earlier life may be this one's: better a line too many.
    assert life == said[1:6]
    assert words("\n".join(said), None, at("06:01:00")).splitlines() == said[:6]
    assert words("", None, at("06:01:00")) == ""


def test_the_end_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"first\nsecond \xff\nthird\n")
    assert tail(file, 1000) == "first\nsecond \ufffd\nthird\n"
    assert tail(file, 10) == "third\n"
    assert tail(tmp_path / "none", 10) == ""


def test_whom_the_kernel_killed(tmp_path: Path) -> None:
    counter = tmp_path / "vmstat"
    counter.write_text("nr_free_pages 1\noom_kill 3\n")
    kills = Kills(counter)
    first = Death("a", at("06:00:00"), "SIGKILL")
    kills.note([first])
    counter.write_text("oom_kill 4\n")
    by_hand, ended = Death("b", at("06:01:00"), "SIGKILL"), Death("c", at("06:01:00"), "exit status 1")
    kills.note([first, by_hand, ended])
    assert kills.found == {by_hand}
    later = Death("d", at("06:02:00"), "SIGKILL")
    kills.note([first, by_hand, ended, later])
    assert kills.found == {by_hand}
    kills.note([later])
    assert kills.found == set()
    assert Kills(tmp_path / "none").found == set()


NOW = at("06:10:00")


def state(word: str, pid: int = 7) -> State:
    return State(NAME, word, pid, 0, 0, 0, "")


@pytest.mark.parametrize(
    ("told", "letter", "deaths", "answers", "expected"),
    [
        (None, "", 0, False, "missing"),
        (state("RUNNING"), "S", 0, False, "running"),
        (state("RUNNING"), "t", 0, False, "running"),
        (state("RUNNING"), "T", 0, False, "suspended"),
        (state("STARTING"), "T", 0, False, "suspended"),
        (state("STOPPING"), "T", 0, False, "stopping"),
        (state("RUNNING"), "", 0, False, "starting"),
        (state("STARTING"), "R", 0, False, "starting"),
        (state("STARTING"), "R", 0, True, "running"),
        (state("STARTING"), "R", 3, False, "looping"),
        (state("STARTING"), "R", 3, True, "running"),
        (state("RUNNING"), "R", 9, False, "running"),
        (state("BACKOFF", 0), "", 2, False, "starting"),
        (state("BACKOFF", 0), "", 3, False, "looping"),
        (state("EXITED", 0), "", 9, False, "dead"),
        (state("FATAL", 0), "", 0, False, "dead"),
        (state("STOPPED", 0), "", 0, False, "dead"),
        (state("UNKNOWN", 0), "", 0, False, "dead"),
    ],
)
def test_what_a_process_is(
    told: State | None, letter: str, deaths: int, answers: bool, expected: str
) -> None:
    died = [NOW - timedelta(minutes=1)] * deaths
    assert seen.process(told, letter, died, answers=answers, now=NOW) == expected


def test_old_deaths_are_no_loop() -> None:
    died = [NOW - timedelta(minutes=6)] * 5 + [NOW] * 2
    assert seen.process(state("BACKOFF", 0), "", died, now=NOW) == "starting"
