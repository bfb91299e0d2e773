"""From the bytes a process wrote to what a person wants to read: pure, no files.

Servers write JSON lines once their logging stands, and anything before: banners, prints, tracebacks of a
failed import. Each becomes an entry with a level and a moment. A traceback stays one entry, because thirty
entries of one line each cannot be searched, filtered by level or read in a newest-first list.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from workflows.lines import EARLIEST, LONGEST_MESSAGE, Level

LEVELS: dict[str, Level] = {
    "TRACE": "DEBUG",
    "DEBUG": "DEBUG",
    "INFO": "INFO",
    "WARN": "WARNING",
    "WARNING": "WARNING",
    "ERROR": "ERROR",
    "EXCEPTION": "ERROR",
    "CRITICAL": "CRITICAL",
    "FATAL": "CRITICAL",
}
BLOCKS = ("user_traceback", "exception", "stack")
NOISE = frozenset(
    {"event", "message", "level", "timestamp", "at", "logger", "thread_name", *BLOCKS}
    | {"color_message", "req_header", "res_header"}
    | {"langgraph_api_version", "api_variant", "host_revision_id", "git_version", "has_deepagents"}
)
"""Keys of a JSON line that are told elsewhere or are the same in every line."""
ACCESS = frozenset({"method", "route", "status", "latency_ms"})
"""A line with all of these is of the access log, and its event says it all."""
LONGEST_FIELD = 1000
TAIL = 4 * 1024

COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
PREFIX = re.compile(r"(TRACE|DEBUG|INFO|WARN|WARNING|ERROR|CRITICAL|FATAL)(?=[:\s\]])")
FATAL = re.compile(r"Fatal Python error:|Segmentation fault")
TRACEBACK = re.compile(r"(?:\w+:\s+)?Traceback \(most recent call last\):")
GROUP = re.compile(r"\s+\+ Exception Group Traceback \(most recent call last\):")
LINK = re.compile(r"(?:During handling of the above exception|The above exception was the direct cause)")
EXCEPTION = re.compile(r"[\w.<>]+(?::\s|$)")
MANY_LINED = re.compile(r"[\w.]*ValidationError: \d+ validation errors? for ")


@dataclass(frozen=True, slots=True)
class Entry:
    """What one line, or one traceback, says. `at` is None when the text itself names no moment."""

    level: Level
    message: str
    at: datetime | None = None


def parse(text: str) -> Entry:
    """One line on its own, tracebacks aside."""
    if text.startswith("{") and (entry := _structured(text)):
        return entry
    match = PREFIX.match(text)
    level: Level = LEVELS[match[1]] if match else "CRITICAL" if FATAL.match(text) else "INFO"
    return Entry(level, cut(text))


def decode(raw: bytes) -> str:
    """Text that any terminal and Postgres can take; of a line that was drawn over, what was last visible."""
    text = COLOURS.sub("", raw.decode("utf-8", "replace")).rstrip("\r\n")
    if "\r" in text:
        text = next((part for part in reversed(text.split("\r")) if part), "")
    return UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def cut(text: str, most: int = LONGEST_MESSAGE) -> str:
    """At most so many characters, the middle gone: the end of a traceback says more than its middle."""
    if len(text) <= most:
        return text
    mark = f"\n… {len(text) - most} characters cut …\n"
    tail = min(TAIL, most // 4)
    return text[: most - tail] + mark + text[-tail:]


def _structured(text: str) -> Entry | None:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    said = fields.get("event", fields.get("message"))
    if said is None or "level" not in fields:
        return None
    parts = [str(said)]
    if not fields.keys() >= ACCESS:
        parts += [
            f"{key}={_brief(value)}" for key, value in fields.items() if key not in NOISE and _told(value)
        ]
    message = " ".join(parts)
    for block in BLOCKS:
        if isinstance(fields.get(block), str) and fields[block]:
            message += "\n" + fields[block]
    at = moment(fields.get("timestamp", fields.get("at")))
    return Entry(_level(fields["level"]), cut(UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", message)), at)


def _told(value: Any) -> bool:
    return value is not None and value != "" and value != {} and value != []


def _brief(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return cut(text, LONGEST_FIELD)


def _level(value: Any) -> Level:
    if isinstance(value, int):
        return "DEBUG" if value < 20 else "INFO" if value < 30 else "WARNING" if value < 40 else "ERROR"
    return LEVELS.get(str(value).upper(), "INFO")


def moment(value: Any) -> datetime | None:
    """A time as log lines spell it; None for what is none, or a clock that was never set."""
    try:
        if isinstance(value, str):
            at = datetime.fromisoformat(value)
            at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            at = datetime.fromtimestamp(value / 1000 if value > 1e11 else value, UTC)
        else:
            return None
    except (ValueError, OverflowError, OSError):
        return None
    return at if at >= EARLIEST else None


class Assembler:
    """Puts a traceback's lines together again. Feed it line by line; what `feed` yields is complete.

    Each entry comes with the `start` of its first line and the `end` of its last, as they were handed in.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._start: object = None
        self._end: object = None
        self._blank = 0
        self._phase = "frames"
        self._size = 0

    @property
    def open(self) -> bool:
        """Whether a traceback has begun that may go on."""
        return bool(self._lines)

    def feed(self, text: str, start: Any, end: Any) -> Iterator[tuple[Entry, Any, Any]]:
        if self.open:
            if not text.strip():
                # Held back: it belongs here only if another exception follows.
                self._blank += 1
                return
            if self._continues(text):
                self._add(text, end)
                return
            yield from self.flush()
        if TRACEBACK.match(text) or GROUP.match(text):
            self._phase = "group" if GROUP.match(text) else "frames"
            self._start = start
            self._add(text, end)
        elif text.strip():
            yield parse(text), start, end

    def flush(self) -> Iterator[tuple[Entry, Any, Any]]:
        """What is open, as it stands."""
        if self.open:
            entry = Entry("ERROR", cut("\n".join(self._lines)))
            self._lines, self._blank, self._size = [], 0, 0
            yield entry, self._start, self._end

    def _add(self, text: str, end: object) -> None:
        # Far beyond what is kept of one entry: a recursion of a million frames must not fill the memory.
        if self._size < 4 * LONGEST_MESSAGE or not text[0].isspace():
            self._lines += [""] * self._blank + [text]
            self._size += len(text) + 1
        self._blank = 0
        self._end = end

    def _continues(self, text: str) -> bool:
        if LINK.match(text):
            self._phase = "link"
            return True
        if self._phase == "link":
            self._phase = "group" if GROUP.match(text) else "frames"
            return self._phase == "group" or bool(TRACEBACK.match(text))
        if self._blank:
            return False
        if text[0].isspace():
            return True
        if self._phase == "frames":
            self._phase = "values" if MANY_LINED.match(text) else "after"
            return bool(EXCEPTION.match(text)) and not PREFIX.match(text)
        return self._phase == "values" and not (PREFIX.match(text) or TRACEBACK.match(text) or text[0] == "{")
