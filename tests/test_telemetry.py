"""Log lines of ours and of libraries look alike, and no line shows a value that nobody meant to log."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

import telemetry
from settings import Settings


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_ours_and_theirs(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure(Settings())
    with structlog.contextvars.bound_contextvars(step="build"):
        structlog.get_logger().info("it moved", took=3)
    logging.getLogger("library").warning("%s is slow", "it")
    ours, theirs = lines(capsys)
    assert (ours["event"], ours["took"], ours["step"], ours["level"]) == ("it moved", 3, "build", "info")
    assert (theirs["event"], theirs["level"]) == ("it is slow", "warning")
    assert set(theirs) >= {"timestamp"}


def test_an_exception_shows_no_locals(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure(Settings())

    def fails() -> None:
        password = "".join(["s3", "cr3t"])  # noqa: F841
        raise KeyError("name")

    try:
        fails()
    except KeyError:
        structlog.get_logger().exception("it broke")
    (line,) = lines(capsys)
    assert "KeyError" in str(line["exception"])
    assert "s3cr3t" not in json.dumps(line)


def test_what_a_step_told_is_not_told_again(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure(Settings())
    extra = {"__temporal_error_identifier": "ActivityFailure"}
    logging.getLogger("temporalio.activity").warning("s3cr3t", extra=extra)
    assert lines(capsys) == []


def test_levels(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure(Settings(log_level="warning"))
    structlog.get_logger().info("too quiet")
    logging.getLogger("library").info("too quiet")
    assert lines(capsys) == []
    with pytest.raises(ValueError, match="try info or debug"):
        telemetry.configure(Settings(log_level="loud"))
