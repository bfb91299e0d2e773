"""`graphyard status`: what it calls well, and how it tells a time."""

from typing import Any

import pytest

from deploy.embedded.drift import clock
from deploy.embedded.ports import Stack
from deploy.embedded.status import Line, show, span, well

UP, DOWN, SILENT = Line("api", "up", 1), Line("api", "down"), Line("api", "silent", 1)
SERVING = {"name": "a", "url": "http://x/d/a", "replicas": 1}
DEAD = {"name": "a", "url": "http://x/d/a", "replicas": 0}
BUILDING = {"name": "a", "url": None, "replicas": 0}


@pytest.mark.parametrize(
    ("lines", "found", "expected"),
    [
        ([UP], [], True),
        ([UP], [SERVING], True),
        ([UP], [SERVING, BUILDING], True),
        ([UP], [SERVING, DEAD], False),
        ([UP, DOWN], [], False),
        ([UP, SILENT], [], False),
        ([UP], None, False),
    ],
    ids=["empty", "serving", "building", "one dead", "a part down", "a part silent", "api away"],
)
def test_all_is_well_when_everything_answers(
    lines: list[Line], found: list[dict[str, Any]] | None, expected: bool
) -> None:
    assert well(lines, found) is expected


@pytest.mark.parametrize(("status", "expected"), [("online", True), ("unknown", True), ("offline", False)])
def test_a_plane_that_cannot_be_seen_is_not_well(
    status: str, expected: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """And it is said since when."""
    where = {"name": "local", "status": status, "offline_since": "2026-01-02T03:04:05+00:00"}
    assert well([UP], [], where) is expected
    show([UP], [], Stack(), where)
    assert (f"plane local offline since {clock(where['offline_since'])}" in capsys.readouterr().out) is (
        not expected
    )


def test_a_deployment_is_told_with_its_id(capsys: pytest.CaptureFixture[str]) -> None:
    """Which the API's paths are written with."""
    id_ = "73ac56f0-094d-4203-baf3-f13a239673f0"
    show([UP], [{**SERVING, "status": "READY", "id": id_}], Stack())
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("a ")]
    assert line.split() == ["a", "READY", "1", id_, "http://x/d/a"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (59.9, "59 s"), (61, "1 m 1 s"), (3600, "1 h 0 m"), (90061, "1 d 1 h")],
)
def test_uptimes_are_told_in_two_units(seconds: float, said: str) -> None:
    assert span(seconds) == said
