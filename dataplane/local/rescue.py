"""Carrying what only a Valkey's memory still holds over a restart that its files would not survive.

It waits in a file meanwhile: whoever carries it may be killed at any moment, and another then gives it back.
"""

import base64
import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from dataplane.local.durable import WAITING
from dataplane.local.programs import write_private
from dataplane.valkey.client import Answer, Client, Trouble

log = structlog.get_logger()

BATCH = 500
PAUSE_MS = 60_000
"""For so long nobody else may write: what comes after the look would be lost."""


@dataclass
class Saved:
    """Keys by database, each with its remaining milliseconds (0: for ever) and its value as Valkey packs it."""

    keys: dict[int, list[tuple[bytes, int, bytes]]] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(len(keys) for keys in self.keys.values())

    def write(self, data: Path) -> None:
        """Into a file of this directory."""
        said = {
            number: [[_text(key), left, _text(packed)] for key, left, packed in keys]
            for number, keys in self.keys.items()
        }
        write_private(data / WAITING, json.dumps(said))

    @classmethod
    def read(cls, data: Path) -> "Saved":
        """What waits there; nothing if nothing does."""
        try:
            said = json.loads((data / WAITING).read_bytes())
            return cls(
                {
                    int(number): [
                        (base64.b64decode(key), left, base64.b64decode(packed)) for key, left, packed in keys
                    ]
                    for number, keys in said.items()
                }
            )
        except (OSError, ValueError):
            return cls()


def forget(data: Path) -> None:
    """Nothing waits any more."""
    with contextlib.suppress(FileNotFoundError):
        (data / WAITING).unlink()


async def save(client: Client) -> Saved:
    """Everything it holds. From now on until it ends nobody can change that."""
    [paused, spaces] = await client.ask(("CLIENT", "PAUSE", str(PAUSE_MS), "WRITE"), ("INFO", "keyspace"))
    if isinstance(paused, Trouble):
        log.warning("writes go on while a Valkey is being rescued", answer=paused)
    saved = Saved()
    text = spaces.decode() if isinstance(spaces, bytes) else ""
    for line in text.splitlines():
        if line.startswith("db"):
            number = int(line[2:].partition(":")[0])
            await client.ask(("SELECT", str(number)))
            saved.keys[number] = await _everything(client)
    return saved


async def restore(client: Client, saved: Saved, *, newest: bool) -> None:
    """Put everything back. It is the `newest` if what the files gave back of the same name is older; not so
    where somebody else could write meanwhile."""
    replace = ("REPLACE",) if newest else ()
    for number, keys in saved.keys.items():
        await client.ask(("SELECT", str(number)))
        for start in range(0, len(keys), BATCH):
            answers = await client.ask(
                *[
                    ("RESTORE", key, str(left), packed, *replace)
                    for key, left, packed in keys[start : start + BATCH]
                ]
            )
            for answer in answers:
                if answer != "OK" and not str(answer).startswith("BUSYKEY"):
                    log.warning("a key could not be put back", answer=str(answer)[:80])
    if len(saved):
        log.info("keys carried over a restart", count=len(saved))


async def _everything(client: Client) -> list[tuple[bytes, int, bytes]]:
    found: dict[bytes, tuple[int, bytes]] = {}
    cursor: Answer = b"0"
    while True:
        assert isinstance(cursor, bytes)
        [page] = await client.ask(("SCAN", cursor, "COUNT", str(BATCH)))
        assert isinstance(page, list), page
        cursor, names = page
        keys = [one for one in names if isinstance(one, bytes)] if isinstance(names, list) else []
        if keys:
            answers = await client.ask(
                *[command for key in keys for command in (("PTTL", key), ("DUMP", key))]
            )
            for key, left, packed in zip(keys, answers[::2], answers[1::2], strict=True):
                if isinstance(left, int) and isinstance(packed, bytes):
                    found[key] = (max(0, left), packed)
        if cursor == b"0":
            return [(key, left, packed) for key, (left, packed) in found.items()]


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
