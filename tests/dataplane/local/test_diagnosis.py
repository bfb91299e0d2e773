"""Last words and what they mean: a table of what servers really wrote."""

import json

import pytest

from dataplane.local.diagnosis import MASK, MOST_LINES, crash_loop, diagnose, last_lines, masked, stuck
from workflows.causes import Code


def line(event: str, **fields: str) -> str:
    return json.dumps({"event": event, "level": "info", "logger": "x", **fields})


def graph(traceback: str) -> str:
    return line("Graph 'agent' failed to load", level="error", graph_id="agent", user_traceback=traceback)


HEAD = "Traceback (most recent call last):\n"
OURS = '  File "/v/langgraph_runtime_pg/{}.py", line 1, in start\n'
SETTINGS = (
    HEAD
    + '  File "/v/pydantic_settings/main.py", line 1, in __init__\n'
    + "pydantic_core._pydantic_core.ValidationError: 2 validation errors for Settings\n"
    + "api_token\n  Field required [type=missing, input_value={}, input_type=dict]\n"
    + "region\n  Field required [type=missing, input_value={}, input_type=dict]\n"
)
CASES: list[tuple[str, Code | None, str]] = [
    (graph(HEAD + "ModuleNotFoundError: No module named 'numpy'\n"), Code.IMPORT_FAILED, "'numpy'"),
    (graph(HEAD + "x.OpenAIError: pass api_key or set the OPENAI_API_KEY environment variable\n"),
     Code.ENVIRONMENT_MISSING, "OPENAI_API_KEY"),
    (graph(HEAD + '  File "<frozen os>", line 679, in __getitem__\nKeyError: \'A_B\'\n'),
     Code.ENVIRONMENT_MISSING, "A_B"),
    (graph(HEAD + "KeyError: 'A_B'\n"), Code.IMPORT_FAILED, "KeyError"),
    (graph(SETTINGS), Code.ENVIRONMENT_MISSING, "API_TOKEN, REGION"),
    (graph(HEAD + "ConnectionRefusedError: [Errno 111] Connection refused\n"), Code.IMPORT_FAILED, "refused"),
    (line(HEAD + OURS.format("database") + "CannotConnectNowError: starting up"), None, ""),
    (line(HEAD + OURS.format("migrate") + "psycopg.OperationalError: Connection refused"), None, ""),
    (line(HEAD + OURS.format("migrate") + "sqlalchemy.exc.ProgrammingError: x"),
     Code.MIGRATION_FAILED, "schema"),
    (HEAD + "ImportError: cannot import name 'auth'\n", Code.IMPORT_FAILED, "cannot import name"),
    ("memory limit exceeded: 900 MB in use of 512 MB allowed, ending\n", Code.OUT_OF_MEMORY, "of 512 MB"),
    (line("memory limit exceeded: 900 MB in use of 512 MB allowed"), Code.OUT_OF_MEMORY, "512 MB"),
    (graph(HEAD + "MemoryError\n"), Code.OUT_OF_MEMORY, "memory"),
    (line("Starting 10 background workers"), None, ""),
    ("", None, ""),
]  # fmt: skip


@pytest.mark.parametrize(("tail", "code", "word"), CASES)
def test_what_is_known_gets_its_cause(tail: str, code: Code | None, word: str) -> None:
    found = diagnose(tail)
    assert (found.cause.code if found.cause else None) is code
    assert word in (found.cause.message if found.cause else "")


@pytest.mark.parametrize(
    ("error", "away"),
    [
        ("redis.exceptions.ConnectionError: Error 2 connecting to unix socket", True),
        ("psycopg_pool.PoolTimeout: couldn't get a connection after 30.00 sec", True),
        ("asyncpg.exceptions.InvalidPasswordError: password authentication failed", False),
    ],
)
def test_a_database_that_is_away_is_not_the_revisions_fault(error: str, away: bool) -> None:
    found = diagnose(line(HEAD + OURS.format("redis_stream") + error, level="error"))
    assert found.cause is None
    assert found.away is away


def test_secrets_are_masked_however_json_spells_them() -> None:
    secrets = ['qu"ote\n1', "plain-secret", "tiny"]
    tail = graph(HEAD + 'ValueError: qu"ote\n1 plain-secret tiny\n') + "\nplain-secret"
    cause = diagnose(tail, secrets).cause
    assert cause is not None
    assert "plain-secret" not in cause.message
    assert "ote\n1" not in cause.message
    assert MASK in cause.message
    assert "tiny" in cause.message, "short values are words; masking them would make nonsense"
    assert masked("longer-secret", ["secret", "longer-secret"]) == MASK


def test_last_lines_are_few_and_the_projects() -> None:
    chain = HEAD + "".join(f"  File {i}\n    code\n    ^^^^\n" for i in range(40)) + "ValueError: mine\n"
    chain += (
        "\nThe above exception was the direct cause of the following exception:\n\n"
        + HEAD
        + "Other: theirs\n"
    )
    told = last_lines(line("before") + "\n" + line(chain, level="error"))
    assert len(told) == MOST_LINES
    assert told[-1] == "ValueError: mine"
    assert not any(set(one.strip()) == {"^"} for one in told)


def test_the_rest_has_a_cause_too() -> None:
    loop = crash_loop("Traceback (most recent call last):\nWeirdError: what\n", 3)
    assert (loop.code, "3 times" in loop.message, "WeirdError" in loop.message) == (
        Code.CRASH_LOOP,
        True,
        True,
    )
    silent = stuck(120, "importing the world\n")
    assert (silent.code, "120 s" in silent.message, "the world" in silent.message) == (
        Code.NO_PROGRESS,
        True,
        True,
    )
