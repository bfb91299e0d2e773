"""A real Valkey under a real supervisord, one per deployment."""

import asyncio
import os
import signal
from pathlib import Path
from uuid import uuid4

import pytest

from dataplane.local.redis import Redis, valkey_binary
from dataplane.local.supervisor import Supervisor
from dataplane.valkey.client import look
from sealing import Keyring
from workflows import names
from workflows.shapes import Resource, ResourceKind, SourceKind, Wish

PASSWORD = "Marker-Redis_word"


@pytest.fixture
def redis(home: Path, supervisor: Supervisor) -> Redis:
    Keyring.create(home / "secrets" / "sealing.keys")
    return Redis(home, supervisor, home / "secrets" / "sealing.keys", valkey_binary(None))


@pytest.fixture
def wish(home: Path, redis: Redis) -> Wish:
    ring, id_ = Keyring.load(home / "secrets" / "sealing.keys"), uuid4()
    return Wish(
        deployment_id=id_,
        revision_id=uuid4(),
        number=1,
        name="echo",
        source=SourceKind.INTERNAL_SOURCE,
        environment=ring.seal_map({}, str(id_)),
        credentials=ring.seal_map({"postgres": "unused", "redis": PASSWORD}, str(id_)),
    )


async def say(redis: Redis, wish: Wish, *words: str) -> bytes:
    reader, writer = await asyncio.open_unix_connection(redis.socket(wish))
    for command in (("AUTH", PASSWORD), words):
        writer.write(f"*{len(command)}\r\n".encode())
        for word in command:
            writer.write(f"${len(word)}\r\n{word}\r\n".encode())
    await reader.readline()
    answer = await reader.readline()
    if answer.startswith(b"$"):
        answer = await reader.readline()
    writer.close()
    return answer.strip()


async def test_one_that_answers_to_its_password_only(redis: Redis, wish: Wish) -> None:
    await redis.provision(wish)
    assert await say(redis, wish, "SET", "a", "1") == b"+OK"
    assert not (await look(redis.socket(wish), "wrong")).inside
    assert not (await look(redis.socket(wish), None)).open
    assert await say(redis, wish, "CONFIG", "GET", "port") == b"*2"


async def test_twice_is_once(redis: Redis, wish: Wish, supervisor: Supervisor) -> None:
    await redis.provision(wish)
    before = await supervisor.state(names.redis(wish.deployment_id))
    await redis.provision(wish)
    after = await supervisor.state(names.redis(wish.deployment_id))
    assert before is not None
    assert after is not None
    assert before.pid == after.pid


async def test_data_survives_a_kill(redis: Redis, wish: Wish, supervisor: Supervisor) -> None:
    await redis.provision(wish)
    assert await say(redis, wish, "SET", "kept", "yes") == b"+OK"
    await asyncio.sleep(1.1)  # appendfsync everysec: what is older than a second is on disk
    state = await supervisor.state(names.redis(wish.deployment_id))
    assert state is not None
    os.kill(state.pid, signal.SIGKILL)
    async with asyncio.timeout(20):
        while (now := await supervisor.state(state.name)) is None or now.pid in (0, state.pid):
            await asyncio.sleep(0.05)
    await redis.provision(wish)
    assert await say(redis, wish, "GET", "kept") == b"yes"


async def test_removed_means_nothing_left(
    redis: Redis, wish: Wish, supervisor: Supervisor, home: Path
) -> None:
    await redis.provision(wish)
    name = names.redis(wish.deployment_id)
    assert await redis.observe(wish) == [Resource(kind=ResourceKind.REDIS, name=name)]
    await redis.remove(wish)
    assert await redis.observe(wish) == []
    assert [path for path in home.rglob("*") if names.short(wish.deployment_id) in path.name] == []
    await redis.remove(wish)


async def test_its_password_is_nowhere_in_the_open(
    redis: Redis, wish: Wish, home: Path, supervisor: Supervisor
) -> None:
    await redis.provision(wish)
    for path in home.rglob("*"):
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes(), path
    state = await supervisor.state(names.redis(wish.deployment_id))
    assert state is not None
    for part in ("cmdline", "environ"):
        assert PASSWORD.encode() not in Path(f"/proc/{state.pid}/{part}").read_bytes()
