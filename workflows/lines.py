"""A log line on its way from a plane to the records, as the plane's shipper and the api's door know it.

A plane knows a deployment by the eight digits in its file names and a revision by its number; the api finds
the ids. A line is known by its stream and its position there, so sending it twice is sending it once.
"""

from datetime import UTC, datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, Field

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
LONGEST_MESSAGE = 16 * 1024
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
MOST_LINES = 500
MOST_BYTES = 256 * 1024
TOKEN_HEADER = "X-Plane-Token"  # noqa: S105 - the header's name

Level = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
Kind = Literal["build", "deploy"]


class Line(BaseModel):
    """One entry of a log; its message may span lines (a traceback is one entry)."""

    deployment: str = Field(pattern=r"^[0-9a-f]{8}$")
    number: int = Field(ge=1, lt=2**31)
    kind: Kind
    replica: str | None = Field(default=None, max_length=32)
    at: AwareDatetime = Field(ge=EARLIEST)
    level: Level
    message: str = Field(max_length=2 * LONGEST_MESSAGE)
    stream: str = Field(max_length=200)
    position: int = Field(ge=0, lt=2**63)


class Lines(BaseModel):
    """One delivery."""

    lines: list[Line] = Field(max_length=2 * MOST_LINES)


class Taken(BaseModel):
    """What became of a delivery: new lines, lines that were there before, lines of nobody we know."""

    stored: int = 0
    known: int = 0
    dropped: int = 0
