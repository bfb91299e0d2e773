"""One Valkey, spoken to over its Unix socket or its port: a handful of commands and what their answers mean.

A client of a library would be one more dependency of the worker, and none tells what this is about: that the
answer was an error, and which process it came from.
"""

import asyncio
import hashlib
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

WAIT = 2.0
"""Seconds after which one that does not answer counts as hanging."""
SETTINGS = {
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    "maxmemory": "0",
    "maxmemory-policy": "noeviction",
    "min-replicas-to-write": "0",
}
"""What decides whether what is written is kept, and the values under which it is."""


Address = Path | tuple[str, int]
"""A Unix socket's path, or a host and its port."""


class Trouble(str):
    """An answer that is an error."""

    __slots__ = ()


Answer = str | bytes | int | None | list["Answer"]


class Client:
    """A connection, and the process at its other end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.pid: int = 0
        """Of the other end, which only a Unix socket knows."""
        connection = writer.get_extra_info("socket")
        if connection.family == socket.AF_UNIX:
            peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            self.pid = struct.unpack("3i", peer)[0]

    async def ask(self, *commands: tuple[str | bytes, ...]) -> list[Answer]:
        """The answers to all of these, sent at once."""
        for command in commands:
            self._writer.write(b"*%d\r\n" % len(command))
            for word in command:
                raw = word if isinstance(word, bytes) else word.encode()
                self._writer.write(b"$%d\r\n%s\r\n" % (len(raw), raw))
        await self._writer.drain()
        return [await self._answer() for _ in commands]

    async def _answer(self) -> Answer:
        line = (await self._reader.readuntil(b"\r\n"))[:-2]
        kind, rest = line[:1], line[1:]
        match kind:
            case b"+":
                return rest.decode()
            case b"-":
                return Trouble(rest.decode(errors="replace"))
            case b":":
                return int(rest)
            case b"$":
                if int(rest) < 0:
                    return None
                return (await self._reader.readexactly(int(rest) + 2))[:-2]
            case b"*":
                return [await self._answer() for _ in range(max(0, int(rest)))]
            case _:
                raise ValueError(f"not an answer: {line[:20]!r}")


def digest(password: str) -> str:
    """How a Valkey knows a password."""
    return hashlib.sha256(password.encode()).hexdigest()


@asynccontextmanager
async def connected(address: Address) -> AsyncIterator[Client]:
    """A connection that nobody has shown a password on."""
    if isinstance(address, Path):
        reader, writer = await asyncio.open_unix_connection(address)
    else:
        reader, writer = await asyncio.open_connection(*address)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


@dataclass(frozen=True)
class Shown:
    """What one Valkey told of itself."""

    trouble: str = ""
    """Why there was no answer; the rest is empty then."""
    loading: bool = False
    pid: int = 0
    open: bool = False
    """Whether it answers somebody who showed no password."""
    inside: bool = False
    """Whether it took ours."""
    users: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    persistence: Mapping[str, str] = field(default_factory=dict)
    follows: bool = False
    """Whether it repeats what another one tells it."""
    rights: bool = True
    """Whether everything asked was allowed."""


async def look(address: Address, password: str | None) -> Shown:
    """Ask everything at once; one that hangs is not waited for long."""
    try:
        async with asyncio.timeout(WAIT), connected(address) as client:
            return await _looked(client, password)
    except FileNotFoundError:
        return Shown(trouble="without its socket")
    except TimeoutError:
        return Shown(trouble="not answering")
    except (OSError, EOFError, ValueError):
        return Shown(trouble="not taking connections")


async def _looked(client: Client, password: str | None) -> Shown:
    # By itself: what follows a password that is not taken would be answered to whoever asks.
    [ping, login] = await client.ask(("PING",), ("AUTH", "default", password or ""))
    for answer in (ping, login):
        if isinstance(answer, Trouble) and answer.startswith("LOADING"):
            return Shown(loading=True, pid=client.pid)
        if isinstance(answer, Trouble) and not answer.startswith(
            ("NOAUTH", "WRONGPASS", "NOPERM", "ERR AUTH")
        ):
            return Shown(trouble=f"answering {answer.split()[0]}", pid=client.pid)
    inside = login == "OK" and password is not None
    if not inside:
        return Shown(pid=client.pid, open=ping == "PONG")
    users, info, role, *settings = await client.ask(
        ("ACL", "LIST"),
        ("INFO", "persistence"),
        ("ROLE",),
        *[("CONFIG", "GET", name) for name in (*SETTINGS, "dir")],
    )
    return Shown(
        pid=client.pid,
        open=ping == "PONG",
        inside=True,
        users=tuple(_texts(users)),
        settings=dict(_pair(one) for one in settings if isinstance(one, list) and len(one) == 2),
        persistence=_info(info),
        follows=isinstance(role, list) and bool(role) and role[0] != b"master",
        rights=not any(isinstance(one, Trouble) for one in (users, info, role, *settings)),
    )


def _info(answer: Answer) -> dict[str, str]:
    text = answer.decode() if isinstance(answer, bytes) else ""
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def _texts(answer: Answer) -> list[str]:
    return [one.decode() for one in answer if isinstance(one, bytes)] if isinstance(answer, list) else []


def _pair(answer: list[Answer]) -> tuple[str, str]:
    name, value = _texts(answer)
    return name, value
