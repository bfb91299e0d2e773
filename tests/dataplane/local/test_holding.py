"""An answer that has to be waited for begins with its first word, or after a while; every other one at once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dataplane.local.entry.graphyard_holding import Holding

JSON = (b"Content-Type", b"application/json")
EVENTS = (b"content-type", b"text/event-stream; charset=utf-8")
LENGTH = (b"content-length", b"2")
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Answer:
    """An app that begins, waits to be told, and ends; and what has been sent of it so far."""

    def __init__(self, *headers: tuple[bytes, bytes], seconds: float = 30.0) -> None:
        self.sent: list[str] = []
        self.begun, self.known = asyncio.Event(), asyncio.Event()
        self._headers = headers
        self._app = Holding(self._answer, seconds)

    async def _answer(self, scope: Any, receive: Any, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [*self._headers]})
        self.begun.set()
        await self.known.wait()
        await send({"type": "http.response.body", "body": b"{}", "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.append(message["type"].rpartition(".")[2] + message.get("body", b"").decode())

    def given(self) -> asyncio.Task[None]:
        return asyncio.create_task(self._app({"type": "http"}, None, self._send))


async def test_it_begins_with_its_first_word() -> None:
    answer = Answer(JSON)
    asked = answer.given()
    await answer.begun.wait()
    assert answer.sent == []
    answer.known.set()
    await asyncio.wait_for(asked, 5)
    assert answer.sent == ["start", "body{}", "body"]


async def test_it_begins_after_a_while_at_the_latest() -> None:
    answer = Answer(JSON, seconds=0.01)
    asked = answer.given()
    async with asyncio.timeout(5):
        while answer.sent != ["start"]:
            await asyncio.sleep(0.005)
    answer.known.set()
    await asyncio.wait_for(asked, 5)
    assert answer.sent == ["start", "body{}", "body"]


@pytest.mark.parametrize(
    "headers", [(EVENTS,), (JSON, LENGTH), ()], ids=["events", "of known length", "bare"]
)
async def test_others_begin_at_once(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    answer = Answer(*headers)
    asked = answer.given()
    await answer.begun.wait()
    assert answer.sent == ["start"]
    answer.known.set()
    await asyncio.wait_for(asked, 5)
    assert answer.sent == ["start", "body{}", "body"]


async def test_nothing_is_sent_of_an_answer_that_nobody_waits_for() -> None:
    answer = Answer(JSON, seconds=0.01)
    asked = answer.given()
    await answer.begun.wait()
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert answer.sent == []


async def test_one_that_fails_before_its_first_word_has_not_begun() -> None:
    sent: list[Any] = []

    async def fails(scope: Any, receive: Any, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [JSON]})
        raise LookupError

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    with pytest.raises(LookupError):
        await Holding(fails)({"type": "http"}, None, send)
    assert sent == []
