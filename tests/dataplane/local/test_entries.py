"""What a person reads of what a process wrote."""

import json
from datetime import UTC, datetime

import pytest

from dataplane.local.entries import Assembler, Entry, cut, decode, moment, parse
from workflows.lines import LONGEST_MESSAGE

SERVER = (
    '{"run_id":"123","event":"Run failed","thread_name":"MainThread","logger":"a.b","level":"error",'
    '"langgraph_api_version":"0.11.1","timestamp":"2026-11-23T01:49:37.965441Z",'
    '"exception":"Traceback (most recent call last):\\n  File \\"p.py\\", line 9\\n'
    'ZeroDivisionError: zero"}'
)
ACCESS = '"method":"GET","route":"/","path":"/","status":200,"latency_ms":8,"req_header":{"a":"b"}}'
PLAIN = ["Traceback (most recent call last):", '  File "a.py", line 1, in <module>', "    1 / 0"]
DURING = "During handling of the above exception, another exception occurred:"
PYDANTIC = [
    "pydantic_core._pydantic_core.ValidationError: 2 validation errors for Settings",
    "openai_key",
    "  Field required [type=missing, input_value={}, input_type=dict]",
    "model",
    "  Field required [type=missing, input_value={}, input_type=dict]",
]
GROUP = [
    "  + Exception Group Traceback (most recent call last):",
    '  |   File "a.py", line 3, in <module>',
    "  | ExceptionGroup: two (2 sub-exceptions)",
    "  +-+---------------- 1 ----------------",
    "    | ValueError: a",
    "    +------------------------------------",
]


@pytest.mark.parametrize(
    ("text", "level", "message"),
    [
        ("hello", "INFO", "hello"),
        ("INFO:     Started server process [1]", "INFO", "INFO:     Started server process [1]"),
        ("ERROR:    Application startup failed.", "ERROR", "ERROR:    Application startup failed."),
        ("WARN something", "WARNING", "WARN something"),
        ("INFORMATION", "INFO", "INFORMATION"),
        ("ERRORS=0", "INFO", "ERRORS=0"),
        ("Fatal Python error: Segmentation fault", "CRITICAL", "Fatal Python error: Segmentation fault"),
        ('{"a": 1}', "INFO", '{"a": 1}'),
        ('{"event": "x", "level": ', "INFO", '{"event": "x", "level": '),
        ("[1, 2]", "INFO", "[1, 2]"),
        ('{"event":"ready","level":"info","logger":"x","port":1}', "INFO", "ready port=1"),
        ('{"message":"Resolved 3 packages","level":"DEBUG","at":"x"}', "DEBUG", "Resolved 3 packages"),
        ('{"event":"e","level":"warn"}', "WARNING", "e"),
        ('{"event":"GET / 200 8ms","level":"info",' + ACCESS, "INFO", "GET / 200 8ms"),
        ('{"event":"e","level":"info","a":0,"b":"","c":{},"d":[],"e":false}', "INFO", "e a=0 e=false"),
        ('{"event":"e","level":"fatal"}', "CRITICAL", "e"),
        ('{"event":"e","level":"whatever"}', "INFO", "e"),
        ('{"event":"e","level":40}', "ERROR", "e"),
        ('{"event":{"a":1},"level":"info","k":[1,"x"],"n":null}', "INFO", "{'a': 1} k=[1, \"x\"]"),
        ('{"event":"a\\u0000b\\ud800c","level":"info"}', "INFO", "a\ufffdb\ufffdc"),
        ("[" * 5000, "INFO", "[" * 5000),
        ('{"a":' * 5000, "INFO", cut('{"a":' * 5000)),
    ],
)
def test_a_line_says_its_level_and_message(text: str, level: str, message: str) -> None:
    entry = parse(text)
    assert (entry.level, entry.message) == (level, message)


def test_a_servers_own_line_keeps_its_moment_its_fields_and_its_traceback() -> None:
    entry = parse(SERVER)
    assert entry.level == "ERROR"
    assert entry.at == datetime(2026, 11, 23, 1, 49, 37, 965441, UTC)
    assert entry.message.startswith("Run failed run_id=123\nTraceback (most recent")
    assert entry.message.endswith("ZeroDivisionError: zero")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-23T01:00:00Z", datetime(2026, 11, 23, 1, tzinfo=UTC)),
        ("2026-11-23T01:00:00", datetime(2026, 11, 23, 1, tzinfo=UTC)),
        ("2026-11-23T02:00:00+01:00", datetime(2026, 11, 23, 1, tzinfo=UTC)),
        (1795395600, datetime(2026, 11, 23, 1, tzinfo=UTC)),
        (1795395600000, datetime(2026, 11, 23, 1, tzinfo=UTC)),
        ("yesterday", None),
        (1e300, None),
        (True, None),
        (None, None),
        ("0001-01-01T00:00:00+23:00", None),
        ("1970-01-01T00:00:01Z", None),
        (12, None),
    ],
)
def test_moments(value: object, expected: datetime | None) -> None:
    assert moment(value) == expected


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"plain\r\n", "plain"),
        (b"\x1b[32mgreen\x1b[0m", "green"),
        (b"10%\r50%\r100%", "100%"),
        (b"nul\0 bad\xff", "nul\ufffd bad\ufffd"),
        ("grün €".encode(), "grün €"),
    ],
)
def test_bytes_become_text_that_can_be_stored(raw: bytes, text: str) -> None:
    assert decode(raw) == text


def test_what_is_too_long_loses_its_middle() -> None:
    text = "a" * LONGEST_MESSAGE + "b" * LONGEST_MESSAGE
    short = cut(text)
    assert len(short) < LONGEST_MESSAGE + 60
    assert short.startswith("aaa")
    assert short.endswith("bbb")
    assert f"{LONGEST_MESSAGE} characters cut" in short
    assert cut("x" * LONGEST_MESSAGE) == "x" * LONGEST_MESSAGE


def assembled(lines: list[str]) -> list[tuple[Entry, int, int]]:
    assembler = Assembler()
    out = [one for i, line in enumerate(lines) for one in assembler.feed(line, i, i + 1)]
    return out + list(assembler.flush())


@pytest.mark.parametrize(
    ("lines", "sizes"),
    [
        (["a", "b"], [1, 1]),
        (["a", "", "b"], [1, 1]),
        ([*PLAIN, "ZeroDivisionError: division by zero"], [4]),
        ([*PLAIN, "ZeroDivisionError: division by zero", "next"], [4, 1]),
        ([*PLAIN, "KeyError", "INFO: next"], [4, 1]),
        ([*PLAIN, "a.b.<locals>.Mine: x", '{"event":"e","level":"info"}'], [4, 1]),
        ([*PLAIN, '{"event":"cut in","level":"info"}', "x"], [3, 1, 1]),
        ([*PLAIN, "KeyError: 1", "", "next"], [4, 1]),
        (
            [*PLAIN, "KeyError: 1", "", DURING, "", *PLAIN, "ValueError: 2", "next"],
            [11, 1],
        ),
        ([*PLAIN, "KeyError: 1", *PLAIN, "KeyError: 2"], [4, 4]),
        ([*PLAIN, *PYDANTIC, "INFO: next"], [8, 1]),
        (["ERROR:    " + PLAIN[0], *PLAIN[1:], "RuntimeError: x"], [4]),
        ([*GROUP, "next"], [6, 1]),
        (["x", *PLAIN], [1, 3]),
    ],
)
def test_a_traceback_is_one_entry(lines: list[str], sizes: list[int]) -> None:
    found = assembled(lines)
    assert [entry.message.count("\n") + 1 for entry, _, _ in found] == sizes
    for entry, start, end in found:
        assert entry.level == ("ERROR" if "Traceback" in entry.message else "INFO")
        if not lines[start].startswith("{"):
            assert entry.message == "\n".join(lines[start:end])
    starts = [start for _, start, _ in found]
    assert starts == sorted(set(starts))


def test_an_endless_traceback_takes_no_endless_memory_and_keeps_its_last_line() -> None:
    lines = [PLAIN[0]] + ['  File "a.py", line 1, in deep'] * 100_000 + ["RecursionError: too deep"]
    [(entry, start, end)] = assembled(lines)
    assert len(entry.message) <= LONGEST_MESSAGE + 60
    assert entry.message.endswith("RecursionError: too deep")
    assert (start, end) == (0, len(lines))


def test_every_json_line_can_be_parsed() -> None:
    values: list[object] = [None, 1, "x", [], {}, {"event": None, "level": None}, {"event": "x", "level": {}}]
    for value in values:
        parse(json.dumps(value))
