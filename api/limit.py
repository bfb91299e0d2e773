"""How much a request may carry. The framework's own limit answers in plain text; clients expect JSON."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import answer

SENTENCE = "The body is too large for this path: {most:,} bytes is the most."


class Limit:
    """A middleware that stops reading at `most` bytes. Uploads are counted where they are stored."""

    def __init__(self, app: ASGIApp, most: int, spared: str) -> None:
        self.app = app
        self.most = most
        self.spared = spared

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self.spared in scope["path"]:
            await self.app(scope, receive, send)
            return
        sentence = SENTENCE.format(most=self.most)
        announced = dict(scope["headers"]).get(b"content-length", b"")
        if announced.isdigit() and int(announced) > self.most:
            await answer(413, sentence)(scope, receive, send)
            return
        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self.most:
                raise HTTPException(413, sentence)
            return message

        await self.app(scope, counted, send)
