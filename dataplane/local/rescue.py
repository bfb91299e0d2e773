"""Carrying what only a Valkey's memory still holds over a restart that its files would not survive."""

from dataclasses import dataclass, field

import structlog

from dataplane.local.valkey import Answer, Client, Trouble

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


async def restore(client: Client, saved: Saved) -> None:
    """Put everything back; what the files gave back of the same name is older."""
    for number, keys in saved.keys.items():
        await client.ask(("SELECT", str(number)))
        for start in range(0, len(keys), BATCH):
            answers = await client.ask(
                *[
                    ("RESTORE", key, str(left), packed, "REPLACE")
                    for key, left, packed in keys[start : start + BATCH]
                ]
            )
            for answer in answers:
                if answer != "OK":
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
