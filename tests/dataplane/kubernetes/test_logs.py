"""What nodes hand out as a log, line by line: times, sentences of their own, pieces, tracebacks, repeats."""

from datetime import UTC, datetime

import pytest

from dataplane.kubernetes.logs import PIECE, Life, Transcript, spelled, stamped, standings
from workflows.lines import Line

LIFE = Life("0a1b2c3d", 3, "server-0a1b2c3d-3-6d5f-x7k2p", "server", 1)
SECOND = 1_600_000_000
AT = b"2020-09-13T12:26:40"


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (AT + b".123456789Z said\n", (SECOND * 10**9 + 123456789, b"said\n")),
        (AT + b".5Z said", (SECOND * 10**9 + 500000000, b"said")),
        (AT + b"Z ", (SECOND * 10**9, b"")),
        (AT + b"Z", (SECOND * 10**9, b"")),
        (
            b"2020-09-13T14:26:40.1+02:00 2020-01-01T00:00:00Z",
            (SECOND * 10**9 + 100000000, b"2020-01-01T00:00:00Z"),
        ),
        (b'failed to try resolving symlinks in path "/var/log/pods/x/0.log": no such file', None),
        (b"unable to retrieve container logs for containerd://0123", None),
        (b"2020-99-13T12:26:40Z said", None),
        (b"", None),
        (b"\xff\xfe", None),
    ],
)
def test_a_line_begins_with_its_time(raw: bytes, found: object) -> None:
    assert stamped(raw) == found


def test_a_long_line_is_whole_again() -> None:
    pieces = [b"a" * PIECE, b"b" * PIECE, b"c"]
    raw = b"".join(AT + b".000000001Z " + piece for piece in pieces)
    assert stamped(raw) == (SECOND * 10**9 + 1, b"".join(pieces))


def read(transcript: Transcript, *raw: bytes) -> list[Line]:
    return [line for one in raw for line in transcript.feed(one)]


def test_lines_are_named_by_their_moment_and_told_once() -> None:
    transcript = Transcript(LIFE)
    first = read(transcript, AT + b".1Z one\n", AT + b".1Z two\n", AT + b".1Z three\n")
    base = SECOND * 10**9 + 10**8
    assert [(line.message, line.position) for line in first] == [
        ("one", base),
        ("two", base + 1),
        ("three", base + 2),
    ]
    assert transcript.again() == "2020-09-13T12:26:40Z"
    again = read(transcript, AT + b".1Z one\n", AT + b".1Z two\n", AT + b".1Z three\n", AT + b".2Z four\n")
    assert [line.message for line in again] == ["four"]


def test_a_nodes_sentence_is_nobodys_line() -> None:
    transcript = Transcript(LIFE)
    assert read(transcript, b"unable to retrieve container logs for containerd://01") == []
    assert (transcript.sentence[:6], transcript.read) == ("unable", -1)
    (line,) = read(transcript, AT + b"Z WARNING: here\n")
    assert (line.message, line.level, line.kind, line.number) == ("WARNING: here", "WARNING", "deploy", 3)
    assert (line.replica, line.stream) == ("x7k2p", "server-0a1b2c3d-3-6d5f-x7k2p/server/1")
    assert line.at == datetime.fromtimestamp(SECOND, UTC)


def test_a_traceback_is_one_entry() -> None:
    transcript = Transcript(LIFE)
    said = ["Traceback (most recent call last):", '  File "a.py", line 1', "ValueError: no"]
    assert read(transcript, *(AT + f".{at}Z {line}\n".encode() for at, line in enumerate(said))) == []
    assert transcript.open
    (line,) = transcript.flush()
    assert (line.message, line.level) == ("\n".join(said), "ERROR")
    assert line.position == SECOND * 10**9


def test_moments_are_spelled_as_the_api_takes_them() -> None:
    assert spelled(SECOND * 10**9 + 999_999_999) == "2020-09-13T12:26:40Z"


def a_pod(state: dict[str, object], last: dict[str, object], count: int) -> dict[str, object]:
    labels = {"graphyard.dev/deployment": "0a1b2c3d", "graphyard.dev/revision": "3"}
    status = {"name": "server", "restartCount": count, "state": state, "lastState": last}
    return {
        "metadata": {"name": "server-0a1b2c3d-3-6d5f-x7k2p", "uid": "1", "labels": labels},
        "status": {"containerStatuses": [status]},
    }


DIED = {"terminated": {"exitCode": 1}}


@pytest.mark.parametrize(
    ("state", "last", "begun", "ended"),
    [
        ({"waiting": {"reason": "ContainerCreating"}}, {}, False, False),
        ({"running": {}}, {}, True, False),
        ({"running": {}}, DIED, True, False),
        (DIED, {}, True, True),
        ({"waiting": {"reason": "CrashLoopBackOff"}}, DIED, True, True),
    ],
)
def test_how_a_container_stands(
    state: dict[str, object], last: dict[str, object], begun: bool, ended: bool
) -> None:
    found = standings(a_pod(state, last, 2))["server"]
    assert (found.life.restart, found.begun, found.ended) == (2, begun, ended)


def test_pods_of_others_are_not_read() -> None:
    assert standings({"metadata": {"name": "x", "uid": "1"}, "status": {}}) == {}
