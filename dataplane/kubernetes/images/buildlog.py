"""From what a build's containers said, as the node hands it out, to lines for the records: pure.

A line's name is its Job, its container and the nanosecond that it was written, so a log that is read again yields the
same lines.
"""

from datetime import UTC, datetime

from dataplane.images.buildlog import masked
from dataplane.kubernetes.logs import stamped
from workflows import names
from workflows.lines import LONGEST_MESSAGE, Level, Line
from workflows.shapes import Wish

NOISE = (
    "Getting image source signatures",
    "Copying blob ",
    "Copying config ",
    "Writing manifest ",
    "Storing signatures",
    "graphyard-lock ",
)
"""What buildah says about moving bytes."""


class Record:
    """What one container of one Job says."""

    def __init__(self, wish: Wish, uid: str, container: str) -> None:
        self._wish = wish
        self._stream = f"build/{wish.number}/{uid[:8]}/{container}"
        self.read = -1
        """The position of the last line that was read."""
        self._last = -1

    def again(self) -> None:
        """The log is read from somewhere before its end once more."""
        self._last = -1

    def feed(self, raw: bytes) -> tuple[str, Line | None] | None:
        """The text of a line that was not read before, and the line unless it is noise."""
        found = stamped(raw)
        if found is None:
            return None
        at, content = found
        self._last = position = max(at, self._last + 1)
        if position <= self.read:
            return None
        self.read = position
        text = masked(content.decode("utf-8", "replace").rstrip().replace("\0", ""))
        if not text.strip() or text.startswith(NOISE):
            return text, None
        return text, line(self._wish, text, self._stream, position, at=at)


def line(wish: Wish, text: str, stream: str, position: int, *, at: int, level: Level = "INFO") -> Line:
    """One line of a revision's build."""
    return Line(
        deployment=names.short(wish.deployment_id),
        number=wish.number,
        kind="build",
        at=datetime.fromtimestamp(at / 10**9, UTC),
        level=level,
        message=text[:LONGEST_MESSAGE],
        stream=stream,
        position=position,
    )
