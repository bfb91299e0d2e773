"""Everything a caller can be told no for, and the one place that puts it into an answer.

Clients show `detail` to people when it is text and match on some of the sentences, so every refusal is a
sentence that names the thing and says what to do. A 422 alone carries a list. What went wrong in here is
logged and never shown: no stack trace, no query, and no value that was sent (it may be a secret).
"""

from traceback import format_tb
from typing import Any

import psycopg
import structlog
from fastapi import FastAPI, Request, status
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy import exc
from starlette.exceptions import HTTPException

log = structlog.get_logger()

AWAY = "The database behind this API is away. Try again in a few seconds."
AWAY_TEMPORAL = "Temporal is away, so nobody can be asked now. Try again in a few seconds."
BROKEN = "Something went wrong in here and is in the api's log; nothing you sent is to blame."


class Problem(Exception):
    """A refusal: a status and one sentence."""

    status = status.HTTP_400_BAD_REQUEST

    def __init__(self, detail: str, headers: dict[str, str] | None = None) -> None:
        self.detail = detail
        self.headers = headers
        super().__init__(detail)


class Unacceptable(Problem):
    """The request is well formed and still cannot be done."""


class SourceConfiguration(Problem):
    """A semantic problem of what to deploy; clients know it by its first words."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"Source configuration error: {detail}")


class Unauthenticated(Problem):
    """Nobody we know."""

    status = status.HTTP_401_UNAUTHORIZED


class Forbidden(Problem):
    """Somebody we know, who may not. Never say `not enabled`: the CLI replaces such sentences."""

    status = status.HTTP_403_FORBIDDEN


class Missing(Problem):
    """An id or path that leads nowhere, or nowhere in this workspace."""

    status = status.HTTP_404_NOT_FOUND


class Conflict(Problem):
    """It clashes with what is there."""

    status = status.HTTP_409_CONFLICT


class TooLarge(Problem):
    """More bytes than are taken here."""

    status = status.HTTP_413_CONTENT_TOO_LARGE


class Unready(Problem):
    """A part this answer depends on is away."""

    status = status.HTTP_503_SERVICE_UNAVAILABLE


def no_deployment(deployment_id: object) -> Missing:
    return Missing(f"Deployment ID {deployment_id} not found.")


def no_revision(revision_id: object) -> Missing:
    return Missing(f"Revision ID {revision_id} not found.")


def no_listener(listener_id: object) -> Missing:
    return Missing(f"Listener ID {listener_id} not found.")


def database_away(error: BaseException) -> bool:
    """Whether an error says that the database cannot be reached, rather than that it refused something."""
    if isinstance(error, exc.DBAPIError):
        away = isinstance(error, exc.OperationalError | exc.InterfaceError)
        return away or error.connection_invalidated
    return isinstance(error, exc.TimeoutError | psycopg.OperationalError)


def answer(code: int, detail: Any, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": detail}, status_code=code, headers=headers)


def failure(error: Exception, path: str) -> JSONResponse:
    """The answer to what nobody foresaw."""
    if database_away(error):
        log.warning("database away", path=path, error=type(error).__name__)
        return answer(503, AWAY, {"Retry-After": "3"})
    log.error("request failed", path=path, **traced(error))
    return answer(500, BROKEN)


def traced(error: BaseException) -> dict[str, Any]:
    """Where an error came from, for the log: its kind and its frames. Not its words nor any local, for both
    may hold a variable's value."""
    return {"error": type(error).__name__, "trace": "".join(format_tb(error.__traceback__))}


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Problem)
    return answer(error.status, error.detail, error.headers)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    # `input` and `ctx` would echo what was sent, secrets included.
    entries = [{"type": e["type"], "loc": list(e["loc"]), "msg": e["msg"]} for e in error.errors()]
    return answer(422, entries)


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    detail = error.detail
    if error.status_code == 404 and detail == "Not Found":
        detail = f"There is nothing at {request.method} {request.url.path}; the API's paths are at /docs."
    elif error.status_code == 405:
        detail = f"{request.method} is not possible on {request.url.path}."
    return answer(error.status_code, detail, dict(error.headers or {}))


async def _away(request: Request, error: Exception) -> JSONResponse:
    return failure(error, request.url.path)


def install(app: FastAPI) -> None:
    """Give the app its answers to every kind of trouble."""
    app.add_exception_handler(Problem, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    for kind in (exc.SQLAlchemyError, psycopg.Error):
        app.add_exception_handler(kind, _away)
