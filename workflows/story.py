"""A rollout's steps as the lines of markdown that the Temporal UI shows as current details."""

from datetime import datetime


class Story:
    """What has been done, what is being done, and how it ended; steps may run side by side."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._began: dict[str, datetime] = {}
        self._lines: dict[str, str] = {}
        self._end = ""

    def begin(self, verb: str, at: datetime) -> None:
        self._began[verb] = at
        self._lines[verb] = f"▶ {verb}"

    def done(self, verb: str, at: datetime) -> None:
        self._lines[verb] = f"✔ {verb} ({self._took(verb, at)})"

    def broke(self, verb: str, at: datetime) -> None:
        self._lines[verb] = f"✘ {verb} ({self._took(verb, at)})"

    def end(self, sentence: str) -> None:
        self._end = sentence

    def __str__(self) -> str:
        steps = "\n".join(f"- {line}" for line in self._lines.values())
        return "\n\n".join(part for part in (f"**{self._title}**", steps, self._end) if part)

    def _took(self, verb: str, at: datetime) -> str:
        return f"{(at - self._began[verb]).total_seconds():.1f} s"
