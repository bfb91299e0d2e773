"""What people do to Valkeys by hand: seen in the right words, put right, and no key lost by it."""

import asyncio
import contextlib
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from unittest.mock import Mock
from uuid import uuid4

import pytest

from dataplane.local import durable
from dataplane.local.redis import CREDENTIALS, Redis, valkey_binary
from dataplane.local.revival import Revival
from dataplane.local.supervisor import Supervisor
from sealing import Keyring
from tests.dataplane.local.conftest import CONFIG
from tests.dataplane.local.valkeys import (
    INJURIES,
    PASSWORD,
    Injury,
    Valkey,
    another_password,
    appending_off,
    configured_otherwise,
    configured_otherwise_and_restarted,
    directory_moved,
    directory_removed,
    misconfigured_and_killed,
    no_password,
    second_user,
    sigstop,
    stopped,
)
from tests.dataplane.local.yard import supervised
from workflows import names
from workflows.causes import Refused
from workflows.drift import AS_WISHED, RUNNING, Field
from workflows.shapes import SourceKind, Wish


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


async def test_stopped_only_after_it_was_found_awake(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one is that was busy with its disk: what only its memory holds is kept."""
    await valkey.say(("SET", "kept", "yes"), ("SELECT", "3"), ("SET", "fleeting", "1", "EX", "1000"))
    await appending_off(valkey)
    find = Revival.find

    async def found_too_early(self: Revival, owner: str, credentials: str) -> None:
        await find(self, owner, credentials)
        await sigstop(valkey)

    monkeypatch.setattr(Revival, "find", found_too_early)
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


async def test_what_is_carried_over_survives_whoever_carries_it(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    await valkey.say(("SET", "kept", "yes"), ("SET", "both", "old"))
    await directory_removed(valkey)
    with monkeypatch.context() as patch:
        patch.setattr(Revival, "run", Mock(side_effect=asyncio.CancelledError))
        with pytest.raises(asyncio.CancelledError):
            await valkey.redis.provision(valkey.wish)
    await valkey.supervisor.stop([valkey.name])
    with monkeypatch.context() as patch:
        patch.setattr(Revival, "finish", Mock(side_effect=asyncio.CancelledError))
        with pytest.raises(asyncio.CancelledError):
            await valkey.redis.provision(valkey.wish)
    assert await valkey.seen() == {Field.PERSISTENCE: "without what was carried over a restart"}
    await valkey.say(("SET", "both", "new"))
    await valkey.redis.provision(valkey.wish)
    assert await valkey.seen() == {}
    assert await valkey.say(("GET", "kept"), ("GET", "both")) == [b"yes", b"new"]


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


async def damaged(valkey: Valkey, damage: Callable[[Path], None]) -> None:
    """Written, ended, damaged and started again, as it finds its files after a disk went wrong."""
    await valkey.say(("SET", "kept", "yes"), ("SET", "last", "word"))
    await valkey.supervisor.stop([valkey.name])
    damage(valkey.data / "appendonlydir")
    await valkey.supervisor.start(valkey.name)
    await valkey.until("BACKOFF")


def garbled(log: Path) -> None:
    """From the last command on nothing makes sense."""
    file = log / "appendonly.aof.1.incr.aof"
    file.write_bytes(file.read_bytes().replace(b"$4\r\nlast", b"\0\0\0\0\0\0last", 1))


def unreadable(log: Path) -> None:
    file = log / "appendonly.aof.1.base.rdb"
    file.write_bytes(b"x" * len(file.read_bytes()))


async def test_a_damaged_file_is_cut_where_it_stops_making_sense(valkey: Valkey) -> None:
    await damaged(valkey, garbled)
    assert (await valkey.seen())[Field.REDIS] == "starting"
    await valkey.redis.provision(valkey.wish)
    assert await valkey.seen() == {}
    assert await valkey.say(("GET", "kept"), ("GET", "last")) == [b"yes", None]
    [kept] = valkey.data.glob("damaged-*")
    assert b"last" in (kept / "appendonly.aof.1.incr.aof").read_bytes()


async def test_what_cannot_be_read_at_all_is_set_aside(valkey: Valkey) -> None:
    await damaged(valkey, unreadable)
    await valkey.redis.provision(valkey.wish)
    assert await valkey.seen() == {}
    assert await valkey.say(("GET", "kept")) == [None]
    [kept] = valkey.data.glob("damaged-*.whole")
    assert b"kept" in (kept / "appendonly.aof.1.incr.aof").read_bytes()


async def test_one_that_cannot_start_for_another_reason_keeps_its_files(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused, and told so; nothing is taken for damaged without its word."""
    monkeypatch.setattr("dataplane.local.redis.PATIENCE", 3.0)
    await valkey.say(("SET", "kept", "yes"))
    await valkey.supervisor.stop([valkey.name])
    (valkey.redis.socket(valkey.wish)).mkdir()
    with pytest.raises(Refused, match="does not answer"):
        await valkey.redis.provision(valkey.wish)
    (valkey.redis.socket(valkey.wish)).rmdir()
    await valkey.redis.provision(valkey.wish)
    assert await valkey.say(("GET", "kept")) == [b"yes"]
    assert list(valkey.data.glob("damaged-*")) == []
