"""How much a request may carry. The framework's own limit answers in plain text; clients expect JSON."""

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import answer

SENTENCE = "The body is too large for this path: {most:,} bytes is the most."


class Limit:
    """A middleware that stops reading at `most` bytes, or at what `wider` says for a path. Uploads are counted
    where they are stored."""

    def __init__(self, app: ASGIApp, most: int, spared: str, wider: Mapping[str, int]) -> None:
        self.app = app
        self.most = most
        self.spared = spared
        self.wider = wider

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self.spared in scope["path"]:
            await self.app(scope, receive, send)
            return
        most = self.wider.get(scope["path"], self.most)
        sentence = SENTENCE.format(most=most)
        announced = dict(scope["headers"]).get(b"content-length", b"")
        if announced.isdigit() and int(announced) > most:
            await answer(413, sentence)(scope, receive, send)
            return
        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > most:
                raise HTTPException(413, sentence)
            return message

        await self.app(scope, counted, send)
