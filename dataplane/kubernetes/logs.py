"""From a container's lines, as a node hands them out, to entries for the records: pure.

A line's name is its container's life (pod, container, restart) and the nanosecond that the node wrote it, so a
log that is read again from some moment on yields the same lines under the same names. A node that cannot read a
log says so in the log's place: a sentence without a time. It is nobody's line, and no reason to stop reading.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from dataplane.kubernetes import names
from dataplane.kubernetes.kinds import Manifest
from dataplane.local.entries import Assembler, Entry, decode
from workflows.lines import Line

STAMP = re.compile(
    rb"(?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(?P<part>\d{1,9}))?(?P<zone>Z|[+-]\d\d:\d\d)(?: |$)"
)
PIECE = 16 * 1024
"""Longer lines are kept in pieces, and older nodes begin every piece with a time."""
LONGEST_REPLICA = 32
SERVER = "server"
"""The container whose lines are the deployment's own; those of others say whose they are."""


@dataclass(frozen=True, slots=True)
class Life:
    """One life of one container: from a start to an end."""

    deployment: str
    number: int
    pod: str
    container: str
    restart: int

    @property
    def stream(self) -> str:
        return f"{self.pod}/{self.container}/{self.restart}"[-200:]

    @property
    def replica(self) -> str:
        """What tells replicas of a revision apart: the random end of the pod's name."""
        own = self.pod.rpartition("-")[2]
        return (own if self.container == SERVER else f"{own}/{self.container}")[:LONGEST_REPLICA]


def stamped(raw: bytes) -> tuple[int, bytes] | None:
    """When the node wrote a line, in nanoseconds since 1970, and the line; None for a sentence of its own."""
    found = STAMP.match(raw)
    if found is None:
        return None
    spelled = found["at"].decode() + found["zone"].decode().replace("Z", "+00:00")
    try:
        seconds = int(datetime.fromisoformat(spelled).timestamp())
    except (ValueError, OverflowError):
        return None
    return seconds * 10**9 + int((found["part"] or b"0").ljust(9, b"0")), _whole(raw[found.end() :])


def spelled(nanoseconds: int) -> str:
    """A moment as the API takes it, which counts in whole seconds; never later than it is."""
    return datetime.fromtimestamp(nanoseconds // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Transcript:
    """What one life of a container said, from whatever part of its log is read, in whatever portions."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self.read = -1
        """The position of the last line that was read."""
        self.sentence = ""
        """What the node said last in place of lines."""
        self._last = -1
        self._assembler = Assembler()

    @property
    def open(self) -> bool:
        """Whether an entry has begun that may go on."""
        return self._assembler.open

    def again(self) -> str | None:
        """From where to read on: the whole second of the last line. None for a log that was never read."""
        self._last = -1
        return None if self.read < 0 else spelled(self.read)

    def feed(self, raw: bytes) -> Iterator[Line]:
        """The next line as the node hands it out; the entries that are complete with it."""
        found = stamped(raw)
        if found is None:
            self.sentence = decode(raw)
            return
        at, text = found
        self._last = position = max(at, self._last + 1)
        if position <= self.read:
            return
        self.read = position
        for entry, first, _ in self._assembler.feed(decode(text), (position, at), None):
            yield self._line(entry, *first)

    def flush(self) -> Iterator[Line]:
        """What has begun, as it stands."""
        for entry, first, _ in self._assembler.flush():
            yield self._line(entry, *first)

    def _line(self, entry: Entry, position: int, at: int) -> Line:
        return Line.model_construct(
            deployment=self.life.deployment,
            number=self.life.number,
            kind="deploy",
            replica=self.life.replica,
            at=entry.at or datetime.fromtimestamp(at / 10**9, UTC),
            level=entry.level,
            message=entry.message,
            stream=self.life.stream,
            position=position,
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """How a container is: which life it is in, and whether that one has an end."""

    life: Life
    begun: bool
    ended: bool


def standings(pod: Manifest) -> dict[str, Standing]:
    """The containers of a server's pod, by name; of a pod that is not ours to read, none."""
    labels = pod["metadata"].get("labels") or {}
    short, number = labels.get(names.SHORT, ""), labels.get(names.REVISION, "")
    if not re.fullmatch("[0-9a-f]{8}", short) or not number.isdecimal():
        return {}
    status = pod.get("status") or {}
    found = {}
    for kind in ("initContainerStatuses", "containerStatuses"):
        for one in status.get(kind) or ():
            state = one.get("state") or {}
            restart = int(one.get("restartCount", 0))
            life = Life(short, int(number), pod["metadata"]["name"], one["name"], restart)
            # Between two lives it is said to wait, with the count of the one that ended.
            waits = "running" not in state and "terminated" not in state
            ended = "terminated" in state or (waits and "terminated" in (one.get("lastState") or {}))
            found[one["name"]] = Standing(life, begun=not waits or ended, ended=ended)
    return found


def _whole(text: bytes) -> bytes:
    """Without the times that stand between the pieces of a long line."""
    at = PIECE
    while len(text) > at and (found := STAMP.match(text, at)):
        text = text[:at] + text[found.end() :]
        at += PIECE
    return text
