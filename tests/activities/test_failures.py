"""What a step's failure becomes, before history sees it."""

from datetime import UTC, datetime, timedelta

import pytest
from temporalio.activity import Info
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.failures import FEWEST, PATIENCE, told
from workflows.causes import Cause, Code, Refused

MARKER = "s3cr3t-m4rk3r"


async def failure(
    error: Exception,
    patience: timedelta | None = PATIENCE,
    attempt: int = 1,
    since: timedelta = timedelta(0),
) -> ApplicationError:
    """What comes out of a step that raises this."""

    async def step() -> None:
        with told(patience):
            raise error

    environment = ActivityEnvironment()
    seen: dict[str, object] = {"attempt": attempt, "scheduled_time": datetime.now(UTC) - since}
    environment.info = Info(**{**vars(environment.info), **seen})
    with pytest.raises(ApplicationError) as caught:
        await environment.run(step)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    return caught.value


async def test_a_refusal_travels_with_its_cause() -> None:
    out = await failure(Refused(Code.RESOLUTION_FAILED, "could not resolve X.", "Pin X."))
    assert (out.type, out.non_retryable) == ("ResolutionFailed", True)
    assert out.details == (Cause(code=Code.RESOLUTION_FAILED, message="could not resolve X.", fix="Pin X."),)
    assert out.message == "could not resolve X. Pin X."


async def test_anything_else_is_tried_again_and_keeps_its_values_to_itself() -> None:
    out = await failure(ValueError(f"near PASSWORD '{MARKER}'"))
    assert (out.type, out.non_retryable, out.details) == ("ValueError", False, ())
    assert MARKER not in out.message
    assert "test_failures.py" in out.message


async def test_files_and_sockets_may_speak() -> None:
    out = await failure(ConnectionRefusedError(111, "Connect call failed"))
    assert "Connect call failed" in out.message


async def test_what_was_told_already_passes() -> None:
    error = ApplicationError("no", type="No", non_retryable=True)

    async def step() -> None:
        with told():
            raise error

    with pytest.raises(ApplicationError) as caught:
        await ActivityEnvironment().run(step)
    assert caught.value is error


LONG = PATIENCE + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("attempt", "since", "patience", "final"),
    [
        (FEWEST, LONG, PATIENCE, True),
        (FEWEST - 1, LONG, PATIENCE, False),
        (FEWEST, timedelta(seconds=5), PATIENCE, False),
        (10 * FEWEST, 10 * LONG, None, False),
    ],
)
async def test_what_keeps_failing_is_believed_in_the_end(
    attempt: int, since: timedelta, patience: timedelta | None, final: bool
) -> None:
    out = await failure(KeyError(MARKER), patience, attempt, since)
    assert out.non_retryable is final
    assert MARKER not in out.message
    if final:
        assert out.type == Code.INTERNAL
        assert "KeyError" in out.details[0].message
