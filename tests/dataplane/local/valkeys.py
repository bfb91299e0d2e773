"""A Valkey of a deployment under a real supervisord, and what people do to it by hand."""

import asyncio
import os
import shutil
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from dataplane.local.redis import Redis
from dataplane.local.supervisor import Supervisor
from dataplane.valkey.client import Trouble, connected, look
from workflows import names
from workflows.drift import AS_WISHED, MISSING, SUSPENDED, Field, compare
from workflows.shapes import Wish

PASSWORD = "Marker-Redis_word"
LOOKED = frozenset({Field.REDIS})
OF_REDIS = {Field.REDIS, Field.REDIS_PASSWORD, Field.PERSISTENCE}


@dataclass
class Valkey:
    """One deployment's, and what a test does to it."""

    home: Path
    supervisor: Supervisor
    redis: Redis
    wish: Wish

    @property
    def name(self) -> str:
        return names.redis(self.wish.deployment_id)

    @property
    def data(self) -> Path:
        return self.home / "data" / "redis" / names.short(self.wish.deployment_id)

    async def pid(self) -> int:
        state = await self.supervisor.state(self.name)
        assert state is not None
        return state.pid

    async def say(self, *commands: tuple[str, ...], password: str = PASSWORD) -> list[object]:
        async with connected(self.redis.socket(self.wish)) as client:
            answers = await client.ask(("AUTH", "default", password), *commands)
        assert not any(isinstance(one, Trouble) for one in answers[1:]), answers
        return list(answers[1:])

    async def seen(self) -> dict[Field, str]:
        """What differs, by field."""
        facts = await self.redis.facts(self.wish)
        return {one.field: one.seen for one in compare(self.wish, facts, LOOKED) if one.field in OF_REDIS}

    async def signal(self, number: signal.Signals) -> None:
        os.kill(await self.pid(), number)

    async def until(self, word: str) -> None:
        """Until the supervisor says so."""
        async with asyncio.timeout(20):
            while (state := await self.supervisor.state(self.name)) is None or state.state != word:
                await asyncio.sleep(0.02)


async def sigstop(it: Valkey) -> None:
    await it.signal(signal.SIGSTOP)


async def stopped(it: Valkey) -> None:
    await it.supervisor.stop([it.name])


async def forgotten(it: Valkey) -> None:
    await it.supervisor.remove(it.name)


async def unwritten(it: Valkey) -> None:
    it.supervisor.files.remove(it.name)


async def described_otherwise(it: Valkey) -> None:
    conf = it.home / "etc" / "conf.d" / f"{it.name}.conf"
    conf.write_text(conf.read_text().replace("autorestart=true", "autorestart=false"))


async def without_socket(it: Valkey) -> None:
    it.redis.socket(it.wish).unlink()


async def hanging(it: Valkey) -> None:
    """Nobody's commands are answered any more, as after a pause that somebody forgot."""
    await it.say(("CLIENT", "PAUSE", "3600000", "ALL"))


async def following(it: Valkey) -> None:
    await it.say(("REPLICAOF", "127.0.0.1", "1"))


async def another_password(it: Valkey) -> None:
    await it.say(("ACL", "SETUSER", "default", "resetpass", ">another"))


async def second_password(it: Valkey) -> None:
    await it.say(("ACL", "SETUSER", "default", ">another"))


async def no_password(it: Valkey) -> None:
    await it.say(("ACL", "SETUSER", "default", "nopass"))


async def fewer_rights(it: Valkey) -> None:
    await it.say(("ACL", "SETUSER", "default", "-@dangerous"))


async def other_rights(it: Valkey) -> None:
    await it.say(("ACL", "SETUSER", "default", "-flushall"))


async def second_user(it: Valkey) -> None:
    await it.say(("ACL", "SETUSER", "guest", "on", "nopass", "~*", "+@all"))


async def appending_off(it: Valkey) -> None:
    await it.say(("CONFIG", "SET", "appendonly", "no"), ("SET", "since", "then"))


async def never_synced(it: Valkey) -> None:
    await it.say(("CONFIG", "SET", "appendfsync", "no"))


async def evicting(it: Valkey) -> None:
    await it.say(("CONFIG", "SET", "maxmemory-policy", "allkeys-lru"))


async def bounded(it: Valkey) -> None:
    await it.say(("CONFIG", "SET", "maxmemory", "100mb"))


async def log_removed(it: Valkey) -> None:
    shutil.rmtree(it.data / "appendonlydir")


async def log_moved(it: Valkey) -> None:
    (it.data / "appendonlydir").rename(it.data / "elsewhere")


async def manifest_removed(it: Valkey) -> None:
    (it.data / "appendonlydir" / "appendonly.aof.manifest").unlink()


async def directory_removed(it: Valkey) -> None:
    shutil.rmtree(it.data)


async def directory_moved(it: Valkey) -> None:
    it.data.rename(it.data.with_name("elsewhere"))


async def directory_closed(it: Valkey) -> None:
    (it.data / "appendonlydir").chmod(0)
    it.data.chmod(0)


async def directory_opened(it: Valkey) -> None:
    it.data.chmod(0o755)


async def configured_otherwise(it: Valkey) -> None:
    config = it.data / "valkey.conf"
    config.write_text(config.read_text().replace("appendonly yes", "appendonly no"))


async def configured_otherwise_and_restarted(it: Valkey) -> None:
    """What it wrote before lies on the disk, and it does not look there."""
    await configured_otherwise(it)
    await it.supervisor.restart(it.name)
    async with asyncio.timeout(10):
        while not (await look(it.redis.socket(it.wish), PASSWORD)).inside:
            await asyncio.sleep(0.02)
    await it.say(("SET", "since", "then"))


async def unconfigured(it: Valkey) -> None:
    (it.data / "valkey.conf").unlink()


async def misconfigured_and_killed(it: Valkey) -> None:
    (it.data / "valkey.conf").write_text("nonsense\n")
    await it.signal(signal.SIGKILL)
    await it.until("BACKOFF")


@dataclass(frozen=True)
class Injury:
    inflict: Callable[[Valkey], Awaitable[None]]
    field: Field
    sees: str
    restarts: bool = False
    pulse: str | None = None
    """What the watch hears, where it is something else."""


INJURIES = (
    Injury(sigstop, Field.REDIS, SUSPENDED, pulse="not answering"),
    Injury(stopped, Field.REDIS, "dead", restarts=True, pulse="without its socket"),
    Injury(forgotten, Field.REDIS, MISSING, restarts=True, pulse="without its socket"),
    Injury(unwritten, Field.PERSISTENCE, "of a program that is not written down so", pulse=AS_WISHED),
    Injury(
        described_otherwise, Field.PERSISTENCE, "of a program that is not written down so", pulse=AS_WISHED
    ),
    Injury(without_socket, Field.REDIS, "without its socket", restarts=True),
    Injury(hanging, Field.REDIS, "not answering", restarts=True),
    Injury(following, Field.REDIS, "a replica of another"),
    Injury(another_password, Field.REDIS_PASSWORD, "another", restarts=True),
    Injury(second_password, Field.REDIS_PASSWORD, "not the only one"),
    Injury(no_password, Field.REDIS_PASSWORD, "not asked for"),
    Injury(fewer_rights, Field.REDIS_PASSWORD, "one with few rights", restarts=True),
    Injury(other_rights, Field.REDIS_PASSWORD, "one with other rights"),
    Injury(second_user, Field.REDIS_PASSWORD, "not the only way in"),
    Injury(appending_off, Field.PERSISTENCE, "off"),
    Injury(never_synced, Field.PERSISTENCE, "with appendfsync no"),
    Injury(evicting, Field.PERSISTENCE, "with maxmemory-policy allkeys-lru"),
    Injury(bounded, Field.PERSISTENCE, "with maxmemory 104857600"),
    Injury(log_removed, Field.PERSISTENCE, "on a file that was removed"),
    Injury(log_moved, Field.PERSISTENCE, "on a file that was moved"),
    Injury(manifest_removed, Field.PERSISTENCE, "without appendonly.aof.manifest"),
    Injury(
        directory_removed,
        Field.PERSISTENCE,
        "on a directory that was removed, without its configuration",
        restarts=True,
        pulse="on a directory that was removed",
    ),
    Injury(
        directory_moved,
        Field.PERSISTENCE,
        "on a directory that was moved, without its configuration",
        pulse="on a directory that was moved",
    ),
    Injury(directory_closed, Field.PERSISTENCE, "in {short} of mode 000, in appendonlydir of mode 000"),
    Injury(directory_opened, Field.PERSISTENCE, "open to others"),
    Injury(configured_otherwise, Field.PERSISTENCE, "with another configuration", pulse=AS_WISHED),
    Injury(
        configured_otherwise_and_restarted,
        Field.PERSISTENCE,
        "off, with another configuration",
        restarts=True,
        pulse="off",
    ),
    Injury(unconfigured, Field.PERSISTENCE, "without its configuration", pulse=AS_WISHED),
    Injury(misconfigured_and_killed, Field.REDIS, "starting", restarts=True, pulse="not taking connections"),
)
