"""What people do to Valkeys by hand: seen in the right words, put right, and no key lost by it."""

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from dataplane.local import durable
from dataplane.local.redis import CREDENTIALS, Redis, valkey_binary
from dataplane.local.supervisor import Supervisor
from dataplane.local.valkey import Trouble, connected, look
from sealing import Keyring
from tests.dataplane.local.conftest import CONFIG
from tests.dataplane.local.yard import supervised
from workflows import names
from workflows.drift import AS_WISHED, MISSING, RUNNING, SUSPENDED, Field, compare
from workflows.shapes import SourceKind, Wish

PASSWORD = "Marker-Redis_word"
LOOKED = frozenset({Field.REDIS})


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """With a supervisord for all tests of this file."""
    home = Path(tempfile.mkdtemp(prefix="gyr"))
    for _ in supervised(home, CONFIG):
        Keyring.create(home / "secrets" / "sealing.keys")
        yield home


@pytest.fixture
def supervisor(home: Path) -> Supervisor:
    return Supervisor(home)


@pytest.fixture
def redis(home: Path, supervisor: Supervisor) -> Redis:
    return Redis(home, supervisor, home / "secrets" / "sealing.keys", valkey_binary(None))


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


OF_REDIS = {Field.REDIS, Field.REDIS_PASSWORD, Field.PERSISTENCE}


@pytest.fixture
async def valkey(home: Path, supervisor: Supervisor, redis: Redis) -> AsyncIterator[Valkey]:
    ring, id_ = Keyring.load(home / "secrets" / "sealing.keys"), uuid4()
    wish = Wish(
        deployment_id=id_,
        revision_id=uuid4(),
        number=1,
        name="echo",
        source=SourceKind.INTERNAL_SOURCE,
        environment=ring.seal_map({}, str(id_)),
        credentials=ring.seal_map({"postgres": "unused", "redis": PASSWORD}, str(id_)),
    )
    await redis.provision(wish)
    yield Valkey(home, supervisor, redis, wish)
    await redis.remove(wish)


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


@pytest.mark.parametrize("injury", INJURIES, ids=lambda injury: injury.inflict.__name__)
async def test_an_injury_is_seen_and_healed(valkey: Valkey, injury: Injury) -> None:
    short, pid = names.short(valkey.wish.deployment_id), await valkey.pid()
    await valkey.say(("SET", "kept", "yes"), ("SELECT", "3"), ("SET", "fleeting", "1", "EX", "1000"))
    assert await valkey.seen() == {}
    assert await valkey.redis.pulse(short) == AS_WISHED
    if injury.inflict is misconfigured_and_killed:
        await asyncio.sleep(1.1)  # appendfsync everysec: what is older than a second is on disk
    await injury.inflict(valkey)

    assert (await valkey.seen()).get(injury.field) == injury.sees.format(short=short)
    assert await valkey.redis.pulse(short) == (injury.pulse or injury.sees).format(short=short)

    await valkey.redis.provision(valkey.wish)

    assert await valkey.seen() == {}
    assert await valkey.redis.pulse(short) == AS_WISHED
    assert (await valkey.pid() != pid) is injury.restarts
    await holds(valkey, since="since" in str(await valkey.say(("KEYS", "*"))))
    # What it holds is on its disk, too.
    await valkey.supervisor.restart(valkey.name)
    await valkey.redis.provision(valkey.wish)
    await holds(valkey, since=injury.inflict in (appending_off, configured_otherwise_and_restarted))


async def holds(valkey: Valkey, *, since: bool) -> None:
    """Whether all that was written is there."""
    kept, then, _, fleeting, left = await valkey.say(
        ("GET", "kept"), ("GET", "since"), ("SELECT", "3"), ("GET", "fleeting"), ("TTL", "fleeting")
    )
    assert (kept, then, fleeting) == (b"yes", b"then" if since else None, b"1")
    assert isinstance(left, int)
    assert 900 < left <= 1000


async def test_all_is_as_wished(valkey: Valkey) -> None:
    assert {(fact.field, fact.name, fact.seen) for fact in await valkey.redis.facts(valkey.wish)} == {
        (Field.REDIS, valkey.name, RUNNING),
        (Field.REDIS_PASSWORD, valkey.name, AS_WISHED),
        (Field.PERSISTENCE, valkey.name, AS_WISHED),
    }


async def test_a_moved_directory_is_found_also_when_nothing_runs(valkey: Valkey) -> None:
    await valkey.say(("SET", "kept", "yes"), ("SELECT", "3"), ("SET", "fleeting", "1", "EX", "1000"))
    await stopped(valkey)
    await directory_moved(valkey)
    await valkey.redis.provision(valkey.wish)
    assert await valkey.seen() == {}
    await holds(valkey, since=False)


async def test_several_injuries_at_once(valkey: Valkey) -> None:
    await valkey.say(("SET", "kept", "yes"), ("SELECT", "3"), ("SET", "fleeting", "1", "EX", "1000"))
    for inflict in (appending_off, second_user, no_password, configured_otherwise, directory_moved, sigstop):
        await inflict(valkey)
    await valkey.redis.provision(valkey.wish)
    assert await valkey.seen() == {}
    await holds(valkey, since=True)


async def test_as_0_1_0_left_it(valkey: Valkey) -> None:
    """Without the note of its password it is looked at as far as that goes, and nothing differs."""
    (valkey.data / CREDENTIALS).unlink()
    short = names.short(valkey.wish.deployment_id)
    assert await valkey.seen() == {}
    assert await valkey.redis.pulse(short) == AS_WISHED
    await no_password(valkey)
    assert await valkey.redis.pulse(short) == "not asked for"
    pid = await valkey.pid()
    await valkey.redis.provision(valkey.wish)
    assert await valkey.pid() == pid
    await another_password(valkey)
    assert await valkey.redis.pulse(short) == "another"


async def test_many_keys_are_carried_over(valkey: Valkey) -> None:
    commands = [("SET", f"key {number}", "x" * number) for number in range(1500)]
    await valkey.say(*commands, ("XADD", "stream", "1-1", "a", "b"), ("HSET", "hash", "a", "b"))
    await directory_removed(valkey)
    await valkey.redis.provision(valkey.wish)
    [size, kind, longest] = await valkey.say(("DBSIZE",), ("TYPE", "stream"), ("STRLEN", "key 1499"))
    assert (size, kind, longest) == (1502, "stream", 1499)


async def test_one_that_just_starts_is_given_time(valkey: Valkey) -> None:
    """Its socket comes last: to be without one for a moment is no reason to restart it."""
    await valkey.signal(signal.SIGKILL)
    await asyncio.gather(*(valkey.redis.provision(valkey.wish) for _ in range(2)))
    pid = await valkey.pid()
    await valkey.redis.provision(valkey.wish)
    assert await valkey.pid() == pid
    assert await valkey.seen() == {}


async def test_whether_somebody_listens_is_known_without_the_socket(valkey: Valkey) -> None:
    socket = valkey.redis.socket(valkey.wish)
    assert durable.listens(socket)
    socket.unlink()
    assert durable.listens(socket)
    await valkey.supervisor.stop([valkey.name])
    assert not durable.listens(socket)
    with contextlib.suppress(FileNotFoundError):
        socket.unlink()
