"""From exceptions to what history may keep: a refusal with its cause, or a word about what may pass.

Whatever a step raises is written into Temporal's history and its UI. Only a `Refused` was made for eyes; the
text of any other exception may hold a value it tripped over (a statement, an argument, an input), so it
stays out unless its class is known to speak only of files and sockets.
"""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError

from workflows.causes import Cause, Code, Refused

PATIENCE = timedelta(minutes=30)
FEWEST = 8
"""Attempts before an unexpected failure is believed; time alone would count a plane that was away."""
SPEAKABLE = (OSError, TimeoutError)

log = structlog.get_logger()


@contextmanager
def told(patience: timedelta | None = PATIENCE) -> Iterator[None]:
    """Translate what the body raises. An unexpected failure is tried again until `patience` is over; with
    None, for ever, as befits what cleans up."""
    try:
        yield
    except ApplicationError:
        raise
    except Refused as refused:
        log.info("step refused", code=refused.cause.code.value)
        raise told_cause(refused.cause) from None
    except Exception as error:
        info = activity.info()
        said = sentence(error)
        log.warning("step failed", error=said, trace=trace(error))
        began = info.scheduled_time
        if patience is not None and info.attempt >= FEWEST and datetime.now(UTC) - began > patience:
            message = f"The step {info.activity_type!r} kept failing: {said}."
            fix = "This is our own trouble, not your project's: see the worker's log, then redeploy."
            raise told_cause(Cause(code=Code.INTERNAL, message=message, fix=fix)) from None
        raise ApplicationError(said, type=type(error).__name__) from None


def told_cause(cause: Cause) -> ApplicationError:
    """What no retry heals, as Temporal carries it: others match on the type, the cause is the detail."""
    return ApplicationError(str(cause), cause, type=cause.code.value, non_retryable=True)


def sentence(error: Exception) -> str:
    """What happened and where, without any value."""
    text = f": {error}" if isinstance(error, SPEAKABLE) else ""
    return f"{type(error).__name__}{text} at {trace(error, 1)}"


def trace(error: BaseException, most: int = 12) -> str:
    """The innermost places it came through, outermost first; lines of code, never their values."""
    frames = traceback.extract_tb(error.__traceback__)[-most:]
    return " > ".join(f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in frames)
