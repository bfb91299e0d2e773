"""Real replicas of a real image: rolled out, replaced under load, drained, handed over, brought back."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import httpx
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from dataplane.local.redis import Redis, valkey_binary
from dataplane.local.replica import REVISION_HEADER
from dataplane.local.slots import Slots
from dataplane.postgres.databases import Postgres
from tests.dataplane.local.yard import DRAIN, EXAMPLE, Yard
from workflows import names
from workflows.shapes import Flavour, Resource, ResourceKind

CLIENTS = 10


def client(yard: Yard, id_: UUID) -> LangGraphClient:
    return get_client(url=yard.address(id_), api_key="unused")


async def pids(yard: Yard, id_: UUID) -> dict[str, int]:
    states = await yard.supervisor.all_states()
    return {name: one.pid for name, one in states.items() if name.startswith(f"server-{names.short(id_)}")}


async def test_a_rollout_and_its_removal(yard: Yard, deployment: UUID) -> None:
    wish = yard.wish(deployment, environment={"ECHO_PREFIX": "one "})
    await yard.roll(wish)
    seen = await yard.plane.servers.observe(wish)
    assert seen.serving == 1
    assert [(one.index, one.state, one.healthy) for one in seen.replicas] == [(0, "running", True)]
    assert {resource.kind for resource in seen.resources} == {ResourceKind.PROCESS, ResourceKind.ROUTE}
    answer = await client(yard, deployment).runs.wait(None, "echo", input={"text": "hi"})
    assert isinstance(answer, dict)
    assert answer["result"] == "one HI"

    before = await pids(yard, deployment)
    await yard.plane.servers.apply(wish)
    await yard.another().servers.apply(wish)
    await yard.plane.servers.switch(wish)
    assert await pids(yard, deployment) == before

    await yard.plane.servers.remove(wish)
    await yard.plane.databases.remove(wish)
    assert (await yard.plane.servers.observe(wish)).resources == []
    assert (await yard.plane.databases.observe(wish)).resources == []
    short = names.short(deployment)
    assert [path for path in yard.home.rglob(f"*{short}*") if "lock" not in path.name] == []
    async with httpx.AsyncClient() as outside:
        began = time.monotonic()
        assert (await outside.get(yard.address(deployment) + "/ok")).status_code == 404
        assert time.monotonic() - began < 4, "it was waited for, as a server that is expected is"


async def test_no_request_fails_while_revisions_change(yard: Yard, deployment: UUID) -> None:
    """Keep-alive clients with runs and streams, and a revision of two replicas replaced by others twice."""
    await yard.roll(yard.wish(deployment, 1, {"ECHO_PREFIX": "1 "}, replicas=2))
    done = asyncio.Event()
    errors: list[str] = []
    answered = {"1 X": 0, "2 X": 0, "3 X": 0}
    streams = 0

    async def runs() -> None:
        speaker = client(yard, deployment)
        while not done.is_set():
            try:
                answer = await speaker.runs.wait(None, "echo", input={"text": "x"})
                answered[answer["result"]] += 1  # type: ignore[call-overload]
            except Exception as error:
                errors.append(f"run: {error!r}")

    async def streaming() -> None:
        nonlocal streams
        speaker = client(yard, deployment)
        while not done.is_set():
            try:
                last = None
                stream = speaker.runs.stream(
                    None, "echo", input={"text": "x", "seconds": 2}, stream_mode=["values", "custom"]
                )
                async for part in stream:
                    last = part
                assert last is not None
                assert last.event == "values"
                assert last.data["result"] in answered
                streams += 1
            except Exception as error:
                errors.append(f"stream: {error!r}")

    load = [asyncio.create_task(runs()) for _ in range(CLIENTS - 3)]
    load += [asyncio.create_task(streaming()) for _ in range(3)]
    await yard.roll(yard.wish(deployment, 2, {"ECHO_PREFIX": "2 "}, replicas=1))
    await yard.roll(yard.wish(deployment, 3, {"ECHO_PREFIX": "3 "}, replicas=2))
    until = sum(answered.values()) + 20
    while sum(answered.values()) < until and not errors:
        await asyncio.sleep(0.05)
    done.set()
    await asyncio.gather(*load)
    assert errors == []
    assert all(count > 0 for count in answered.values()), answered
    assert streams >= 3
    assert len(await pids(yard, deployment)) == 2


async def test_old_replicas_finish_what_they_can_and_hand_over_the_rest(yard: Yard, deployment: UUID) -> None:
    await yard.roll(yard.wish(deployment, 1, {"ECHO_PREFIX": "1 "}))
    old = (await pids(yard, deployment))[names.server(deployment, 1, 0)]
    newer = yard.wish(deployment, 2, {"ECHO_PREFIX": "2 "})
    await yard.plane.servers.apply(newer)
    await yard.plane.servers.until_ready(newer, lambda said: None)
    speaker = client(yard, deployment)
    threads = [(await speaker.threads.create())["thread_id"] for _ in range(2)]
    short, long = [
        await speaker.runs.create(thread, "echo", input={"text": "x", "seconds": seconds})
        for thread, seconds in zip(threads, (DRAIN / 2, DRAIN * 2), strict=True)
    ]
    async with asyncio.timeout(10):
        for thread, run in zip(threads, (short, long), strict=True):
            while (await speaker.runs.get(thread, run["run_id"]))["status"] == "pending":
                await asyncio.sleep(0.05)
    await yard.plane.servers.switch(newer)
    began = time.monotonic()
    await yard.plane.servers.retire(newer, lambda said: None)
    assert not Path(f"/proc/{old}/exe").exists()
    assert time.monotonic() - began < DRAIN + 15
    first = await speaker.runs.join(threads[0], short["run_id"])
    second = await speaker.runs.join(threads[1], long["run_id"])
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert first["pid"] == old
    # The long one was put back and taken by the new revision, from its last checkpoint on.
    assert second["pid"] == (await pids(yard, deployment))[names.server(deployment, 2, 0)]


async def test_runs_wait_for_the_switch(yard: Yard, deployment: UUID) -> None:
    """A replica that was not proven takes none; one that serves does, within a second."""
    wish = yard.wish(deployment)
    await yard.plane.databases.provision(wish)
    await yard.plane.servers.apply(wish)
    await yard.plane.servers.until_ready(wish, lambda said: None)
    async with inside(yard, deployment) as speaker:
        thread = (await speaker.threads.create())["thread_id"]
        run = await speaker.runs.create(thread, "echo", input={"text": "x"})
        await asyncio.sleep(1.5)
        assert (await speaker.runs.get(thread, run["run_id"]))["status"] == "pending"
        await yard.plane.servers.switch(wish)
        async with asyncio.timeout(5):
            await speaker.runs.join(thread, run["run_id"])


async def test_nothing_a_user_sets_moves_the_server(yard: Yard, deployment: UUID) -> None:
    environment = {
        "GRAPHYARD_SOCKET": "/tmp/elsewhere.sock",
        "GRAPHYARD_REVISION": "99",
        "GRAPHYARD_TAKE": "/nowhere",
        "DATABASE_URI": "postgresql://nobody@127.0.0.1:1/x",
        "REDIS_URI": "redis://127.0.0.1:1/0",
        "LANGSERVE_GRAPHS": "{}",
        "ECHO_PREFIX": 'quote " percent % dollar $HOME \n newline ; ',
    }
    await yard.roll(yard.wish(deployment, environment=environment))
    answer = await client(yard, deployment).runs.wait(None, "echo", input={"text": "x"})
    assert isinstance(answer, dict)
    assert answer["result"] == environment["ECHO_PREFIX"] + "X"


async def test_values_are_in_the_process_and_nowhere_else(yard: Yard, deployment: UUID) -> None:
    value = "Marker-of-a-value"
    wish = yard.wish(deployment, environment={"SECRET": value})
    await yard.roll(wish)
    pid = (await pids(yard, deployment))[names.server(deployment, 1, 0)]
    assert value in Path(f"/proc/{pid}/environ").read_text()
    words = [value, f"Pg-{deployment.hex}", f"Re-{deployment.hex}"]
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            assert not any(word.encode() in process.read_bytes() for word in words)
    for path in yard.home.rglob("*"):
        if path.is_file() and "images" not in path.parts:
            with contextlib.suppress(OSError):
                content = path.read_bytes()
                assert not any(word.encode() in content for word in words), path


async def test_killed_replicas_come_back_and_answer(yard: Yard, deployment: UUID) -> None:
    await yard.roll(yard.wish(deployment))
    name = names.server(deployment, 1, 0)
    old = (await pids(yard, deployment))[name]
    os.kill(old, signal.SIGKILL)
    async with asyncio.timeout(60), httpx.AsyncClient(timeout=10) as outside:
        while (await pids(yard, deployment))[name] in (0, old):
            await asyncio.sleep(0.05)
        while (answer := await outside.get(yard.address(deployment) + "/ok?check_db=1")).status_code != 200:
            assert answer.status_code in (502, 503, 504)
            assert answer.json()["detail"]
    assert answer.headers[REVISION_HEADER] == "1"


async def test_the_probe_cannot_be_reached_from_outside(yard: Yard, deployment: UUID) -> None:
    await yard.roll(yard.wish(deployment))
    async with httpx.AsyncClient() as outside:
        for path in ("/graphyard/probe", "//graphyard/probe", "/%67raphyard/probe"):
            answer = await outside.get(
                yard.address(deployment) + path, headers={"x-graphyard-probe": "guess"}
            )
            assert answer.status_code == 404


async def test_the_preview_flavour_needs_no_database(yard: Yard, deployment: UUID) -> None:
    image = await yard.built(EXAMPLE, Flavour.INMEM)
    wish = yard.wish(deployment, image=image, flavour=Flavour.INMEM)
    await yard.roll(wish)
    assert (await yard.plane.databases.observe(wish)).resources == []
    answer = await client(yard, deployment).runs.wait(None, "echo", input={"text": "x"})
    assert isinstance(answer, dict)
    assert answer["result"] == "X"
    assert not list((yard.home / "images").glob("*/source/.langgraph_api/*"))


async def test_what_a_retirement_that_was_killed_has_left_goes_with_the_next(
    yard: Yard, deployment: UUID
) -> None:
    """Programs go first, so a killed worker may leave sockets that no program is known to any more."""
    short = names.short(deployment)
    Slots(yard.home).make()
    for number in (3, 5, 8):
        (yard.home / "run" / "rev" / f"{short}-{number}-0.sock").touch()
        (yard.home / "run" / "take" / f"{short}-{number}").touch()

    def left() -> set[str]:
        return {
            path.name for part in ("rev", "take") for path in (yard.home / "run" / part).glob(f"{short}-*")
        }

    await yard.plane.servers.retire(yard.wish(deployment, 8), lambda said: None)
    assert left() == {f"{short}-8-0.sock", f"{short}-8"}
    await yard.plane.servers.remove(yard.wish(deployment, 9))
    assert left() == set()


async def test_what_is_gone_is_gone_when_said_twice(yard: Yard, deployment: UUID) -> None:
    wish = yard.wish(deployment)
    for verb in (yard.plane.servers.discard, yard.plane.servers.remove, yard.plane.databases.remove):
        await verb(wish)
        await verb(wish)
    await yard.plane.servers.retire(wish, lambda said: None)
    slug = names.slug("agent", deployment)
    assert (
        Resource(kind=ResourceKind.ROUTE, name=slug) not in (await yard.plane.servers.observe(wish)).resources
    )


@contextlib.asynccontextmanager
async def inside(yard: Yard, id_: UUID) -> AsyncIterator[LangGraphClient]:
    """A client of the first replica itself, past the gateway."""
    socket = yard.home / "run" / "rev" / f"{names.short(id_)}-1-0.sock"
    transport = httpx.AsyncHTTPTransport(uds=str(socket))
    async with httpx.AsyncClient(transport=transport, base_url="http://replica", timeout=30) as http:
        yield LangGraphClient(http)


async def test_a_custom_database_and_redis_are_used(yard: Yard, deployment: UUID) -> None:
    """The deployment brings its own: here another deployment's, which shows where the threads went."""
    owner = yard.wish(deployment)
    await yard.plane.databases.provision(owner)
    postgres = Postgres(yard.postgres_admin, yard.keys)
    redis = Redis(yard.home, yard.supervisor, yard.keys, valkey_binary(None))
    other = UUID(int=deployment.int ^ (1 << 100))
    environment = {"POSTGRES_URI_CUSTOM": postgres.uri(owner), "REDIS_URI_CUSTOM": redis.uri(owner)}
    wish = yard.wish(other, environment=environment, custom_postgres=True, custom_redis=True)
    try:
        await yard.roll(wish)
        assert (await yard.plane.databases.observe(wish)).resources == []
        answer = await client(yard, other).runs.wait(None, "echo", input={"text": "x"})
        assert isinstance(answer, dict)
        assert answer["result"] == "X"
    finally:
        await yard.clear(other)
