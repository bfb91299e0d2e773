"""A container's log when things go wrong on its way: sentences of the node, streams that break, pods that go."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

import pytest

from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.logs import Life, Standing
from dataplane.kubernetes.reader import Reader, Turns
from dataplane.kubernetes.trouble import Trouble
from workflows.lines import Line

LIFE = Life("0a1b2c3d", 1, "server-0a1b2c3d-1-x-y", "server", 0)
RUNS, ENDED = Standing(LIFE, begun=True, ended=False), Standing(LIFE, begun=True, ended=True)
SENTENCE = b'failed to try resolving symlinks in path "/var/log/pods/x/0.log": no such file or directory'


def at(second: int, said: str) -> bytes:
    return f"2026-01-01T00:00:{second:02}.5Z {said}\n".encode()


class Node:
    """Hands out one prepared answer after another, and notes what was asked for."""

    def __init__(self, *answers: Sequence[bytes | Exception]) -> None:
        self._answers = list(answers)
        self.asked: list[dict[str, object]] = []
        self.quiet = asyncio.Event()

    @asynccontextmanager
    async def log(self, pod: str, container: str, **how: object) -> AsyncIterator[AsyncIterator[bytes]]:
        self.asked.append(how)
        if not self._answers:
            self.quiet.set()
            await asyncio.Event().wait()
        yield self._said(self._answers.pop(0))

    async def _said(self, answer: Sequence[bytes | Exception]) -> AsyncIterator[bytes]:
        for one in answer:
            if isinstance(one, Exception):
                raise one
            yield one


async def read(node: Node, standing: Standing) -> list[str]:
    """All that comes until there is nothing more to be had."""
    told: list[Line] = []

    async def deliver(lines: Sequence[Line]) -> None:
        told.extend(lines)

    reader = Reader(cast(Cluster, node), Turns(1), deliver, standing)
    reading = asyncio.create_task(reader.run())
    async with asyncio.timeout(30):
        await asyncio.wait(
            [reading, asyncio.create_task(node.quiet.wait())], return_when=asyncio.FIRST_COMPLETED
        )
    reading.cancel()
    await asyncio.wait([reading])
    return [line.message for line in told]


@pytest.mark.parametrize("sentence", [SENTENCE, b"unable to retrieve container logs for containerd://0123"])
async def test_a_nodes_sentence_stops_no_reading(sentence: bytes) -> None:
    node = Node([at(1, "one"), sentence], [sentence], [at(1, "one"), at(2, "two")])
    assert await read(node, RUNS) == ["one", "two"]
    assert [how["since"] for how in node.asked] == [
        None,
        *["2026-01-01T00:00:01Z"] * 2,
        "2026-01-01T00:00:02Z",
    ]


async def test_a_log_that_cannot_be_had_yet_is_not_taken_for_read() -> None:
    node = Node([SENTENCE], [at(1, "one")])
    reading = asyncio.create_task(read(node, ENDED))
    async with asyncio.timeout(10):
        while len(node.asked) < 2:
            await asyncio.sleep(0.01)
    reading.cancel()
    await asyncio.wait([reading])
    assert [how["follow"] for how in node.asked] == [False, False]


async def test_a_broken_stream_is_taken_up_where_it_was() -> None:
    node = Node([at(1, "one"), ConnectionError()], [Trouble(500, "away")], [at(1, "one"), at(1, "more")])
    assert await read(node, RUNS) == ["one", "more"]


async def test_a_pod_that_is_gone_is_let_go() -> None:
    assert await read(Node([at(1, "one")], [Trouble(404, "no such pod")]), RUNS) == ["one"]


async def test_the_life_before_comes_first() -> None:
    now = Standing(Life(LIFE.deployment, 1, LIFE.pod, "server", 1), begun=True, ended=False)
    node = Node([at(1, "died")], [at(2, "born")])
    assert await read(node, now) == ["died", "born"]
    assert [how["previous"] for how in node.asked] == [True, False, False]
