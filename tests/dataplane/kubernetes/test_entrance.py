"""The door as a caller sees it, with a small door of our own that opens, shuts and leads astray when it should."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from dataplane.kubernetes.entrance import IN_A_ROW, Entrance
from dataplane.kubernetes.site import Door
from dataplane.local.replica import REVISION_HEADER
from tests.wishes import a_wish
from workflows import names
from workflows.causes import Code, Refused
from workflows.shapes import Flavour

WISH = a_wish(number=3)
PATH = f"/d/{names.slug(WISH.name, WISH.deployment_id)}/ok"
HERE = (200, "3")
Answer = tuple[int, str] | None
"""A status and the revision that answers; None breaks the connection off."""
Told = Callable[[int], Answer]
"""What is answered, by how many asked before."""


@asynccontextmanager
async def a_door(told: Told) -> AsyncIterator[tuple[str, list[str]]]:
    """Its address, and the heads of the requests it has had."""
    asked: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                said = told(len(asked))
                asked.append(head)
                if said is None:
                    break
                status, revision = said
                named = f"{REVISION_HEADER}: {revision}\r\n" if revision else ""
                body = f"HTTP/1.1 {status} Said\r\n{named}Content-Length: 4\r\n\r\nsaid"
                writer.write(body.encode())
                await writer.drain()
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}", asked


def entrance(address: str, patience: float = 20.0) -> Entrance:
    return Entrance(Door("https://agents.example", address=address), patience=patience)


async def test_it_is_asked_as_a_caller_would_until_it_has_led_here_for_a_while() -> None:
    async with a_door(lambda _: HERE) as (address, asked):
        await entrance(address).until_open(WISH)
    assert len(asked) == IN_A_ROW
    for head in asked:
        assert head.startswith(f"GET {PATH} ")
        assert "\r\nhost: agents.example\r\n" in head.lower()


async def test_without_an_address_of_its_own_it_is_asked_where_callers_ask() -> None:
    async with a_door(lambda _: HERE) as (address, asked):
        await Entrance(Door(f"{address}/below"), patience=20).until_open(WISH)
    assert asked[0].startswith(f"GET /below{PATH} ")


LATE: dict[str, list[Answer]] = {
    "not there yet": [(404, ""), (404, "")],
    "nobody behind it yet": [(503, ""), (502, "")],
    "the revision before": [(200, "2"), (200, "2")],
    "broken off": [None, None],
    "now one, now the other": [HERE, (200, "2"), HERE, HERE, None, *[HERE] * (IN_A_ROW - 1), (404, "")],
}


@pytest.mark.parametrize("before", LATE.values(), ids=LATE)
async def test_it_may_open_late(before: list[Answer]) -> None:
    async with a_door(lambda nth: before[nth] if nth < len(before) else HERE) as (address, asked):
        await entrance(address).until_open(WISH)
    assert len(asked) == len(before) + IN_A_ROW, "only answers in a row count"


@pytest.mark.parametrize(
    ("answer", "words"),
    [((404, ""), "404 of revision unknown"), ((200, "2"), "200 of revision 2"), ((200, ""), "unknown")],
)
async def test_one_that_does_not_lead_here_in_time_is_refused(answer: Answer, words: str) -> None:
    async with a_door(lambda _: answer) as (address, _):
        with pytest.raises(Refused) as refused:
            await entrance(address, patience=0.5).until_open(WISH)
    cause = refused.value.cause
    assert cause.code is Code.GATEWAY_FAILED
    assert words in cause.message
    assert PATH in cause.message
    assert cause.fix


async def test_foreign_images_need_not_say_which_revision_they_are() -> None:
    async with a_door(lambda _: (200, "")) as (address, asked):
        await entrance(address).until_open(WISH.model_copy(update={"flavour": Flavour.IMAGE}))
    assert len(asked) == IN_A_ROW


async def test_no_connection_is_the_door_s_own_trouble() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(httpx.ConnectError):
        await entrance(f"http://127.0.0.1:{port}", patience=0.5).until_open(WISH)
    async with a_door(lambda nth: (404, "") if nth < 1 else None) as (address, _):
        with pytest.raises(httpx.TransportError):
            await entrance(address, patience=2).until_open(WISH)
