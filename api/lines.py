"""Questions to a log and their answers, in the three spellings that clients know.

A cursor is text (a number breaks the Go client) and opaque to callers. A moment is in whole milliseconds, and
what callers send back is meant in whole milliseconds too, so a line is found again by the moment it shows.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from api.bodies import Body
from api.shapes import Shape
from api.text import Line as ShortText
from records.line import Line, LogKind, Page, Wanted
from workflows.lines import LEVELS

MOST = 1000
MILLISECOND = timedelta(milliseconds=1)
ALIASES = {"WARN": "WARNING", "FATAL": "CRITICAL", "TRACE": "DEBUG"}


def _level(value: str) -> str:
    name = ALIASES.get(value.upper(), value.upper())
    if name not in LEVELS:
        raise ValueError(f"must be one of {', '.join(LEVELS)}")
    return name


def _cursor(value: Any) -> Any:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if text in (None, ""):
        return None
    if not isinstance(text, str) or not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise ValueError("must be the next_offset of an earlier answer")
    return int(text)


def _utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    except OverflowError:
        raise ValueError("must be a time between the years 1 and 9999") from None


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


Cursor = Annotated[int | None, BeforeValidator(_cursor)]
Level = Annotated[ShortText, AfterValidator(_level)]
Moment = Annotated[datetime, AfterValidator(_utc)]
Order = Annotated[Literal["asc", "desc"], BeforeValidator(_lower)]
Kind = Annotated[LogKind, BeforeValidator(_lower)]


class Filters(Body):
    """What narrows a log; nothing of it is required."""

    model_config = ConfigDict(extra="ignore")

    level: Annotated[Level | None, Field(description="This level and the graver ones.")] = None
    query: Annotated[ShortText | None, Field(description="A part of the message, in any case.")] = None
    start_time: Annotated[Moment | None, Field(description="ISO 8601, inclusive; UTC unless it says.")] = None
    end_time: Annotated[Moment | None, Field(description="ISO 8601, inclusive.")] = None

    def wanted(
        self,
        kind: LogKind,
        revision_id: UUID | None,
        *,
        order: str,
        limit: int,
        offset: int | None,
        run: str | None = None,
    ) -> Wanted:
        return Wanted(
            kind=kind,
            revision_id=revision_id,
            newest_first=order == "desc",
            limit=limit,
            offset=offset,
            level=self.level,
            query=self.query,
            run=run,
            start=_floor(self.start_time),
            end=_ceiling(self.end_time),
        )


class LogRequest(Filters):
    """The body that the CLI sends."""

    order: Order = "asc"
    limit: Annotated[int, Field(ge=1, description=f"At most so many lines; {MOST} are the most.")] = 100
    offset: Annotated[Cursor, Field(description="The next_offset of the page before.")] = None

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: Any) -> Any:
        return (
            {key: item for key, item in value.items() if item is not None}
            if isinstance(value, dict)
            else value
        )


class LogQuery(Filters):
    """The newer spelling, as query parameters."""

    type: Annotated[Kind, Field(description="Whose lines: the build's or the servers'.")]
    order: Order = "asc"
    limit: Annotated[int, Field(ge=1, le=MOST)] = 50
    offset: Annotated[Cursor, Field(description="The next_offset of the page before.")] = None
    run_id: Annotated[ShortText | None, Field(description="Only lines that speak of this run.")] = None
    follow: Annotated[bool, Field(description="Go on as server-sent events.")] = False


class LogSearch(Filters):
    """The newest spelling, across revisions."""

    deployment_id: UUID
    revision_id: UUID | None = None
    log_type: Annotated[Kind, Field(description="BUILD or DEPLOY.")] = LogKind.DEPLOY
    sort_order: Order = "desc"
    page_size: Annotated[int, Field(ge=1, le=100)] = 20
    cursor: Cursor = None
    run_id: ShortText | None = None


class LogEntry(Shape):
    """One line, or one traceback."""

    id: str
    timestamp: Annotated[int, Field(description="Milliseconds since 1970.")]
    level: str
    message: str
    revision_id: UUID | None = None
    replica: str | None = None

    @classmethod
    def of(cls, row: Line) -> Self:
        return cls(
            id=str(row.id),
            timestamp=(row.at - datetime.fromtimestamp(0, UTC)) // MILLISECOND,
            level=row.level,
            message=row.message,
            revision_id=row.revision_id,
            replica=row.replica,
        )


class LogPage(Shape):
    """A page of a log. `next_offset` leads behind its last line, where an open log goes on; null: no more."""

    logs: list[LogEntry]
    next_offset: str | None

    @classmethod
    def of(cls, page: Page, *, open_end: bool = True) -> Self:
        return cls(logs=[LogEntry.of(row) for row in page.lines], next_offset=_next(page, open_end))


class LogItems(Shape):
    """The same page in the newest spelling."""

    items: list[LogEntry]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page, *, open_end: bool = True) -> Self:
        return cls(items=[LogEntry.of(row) for row in page.lines], next_cursor=_next(page, open_end))


def _next(page: Page, open_end: bool) -> str | None:
    # A page with lines always has a cursor: clients keep the last they saw, and without one they start over.
    if page.next_offset is None or not (page.lines or open_end):
        return None
    return str(page.next_offset)


def _floor(moment: datetime | None) -> datetime | None:
    return moment and moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _ceiling(moment: datetime | None) -> datetime | None:
    return moment and moment.replace(microsecond=moment.microsecond // 1000 * 1000 + 999)
