"""The log of one revision's build: JSON lines, appended while things happen; a tailer ships them."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from workflows import names
from workflows.shapes import Wish

Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
CREDENTIALS = re.compile(r"(?<=://)[^/\s@'\"`]+@")


def masked(text: str) -> str:
    """The text with the user and password of every address in it covered."""
    return CREDENTIALS.sub("***@", text)


class BuildLog:
    """`logs/build/<short>/<number>.log`; a build that is tried again goes on where the last one stopped."""

    def __init__(self, logs: Path, wish: Wish) -> None:
        self.path = logs / "build" / names.short(wish.deployment_id) / f"{wish.number}.log"

    def say(self, message: str, level: Level = "INFO") -> None:
        """One line; small enough that it needs no thread."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"at": at, "level": level, "message": masked(message)}, ensure_ascii=False)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8", errors="replace") as file:
            file.write(line + "\n")
