"""What stands before a server's own app, and who says whether it may take runs."""

import asyncio
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from dataplane.local.entry.graphyard_door import Door
from dataplane.local.entry.graphyard_gate import Always, Gate, Marker, Service, leave

TOKEN = (b"x-graphyard-probe", b"token")
FORWARDED = (b"x-forwarded-for", b"192.0.2.1")


class App:
    """The server's app: remembers as whom it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bytes]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.append((scope["type"], scope.get("path", ""), scope.get("raw_path", b"")))
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"x-app", b"1")]})
            await send({"type": "http.response.body", "body": b"app"})


class Pulse:
    async def take(self) -> dict[str, Any]:
        return {"open": True}


async def ask(
    app: App, path: str, *headers: tuple[bytes, bytes], prefix: str = "/d/agent-1", kind: str = "http"
) -> tuple[int, bytes, dict[bytes, bytes]]:
    told: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        told.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    door = Door(app, "7", "token", Pulse(), prefix)  # type: ignore[arg-type]
    scope = {"type": kind, "path": path, "raw_path": path.encode(), "headers": list(headers)}
    await door(scope, receive, send)
    if not told:
        return 0, b"", {}
    return told[0]["status"], told[1]["body"], dict(told[0]["headers"])


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/d/agent-1/ok", "/ok"),
        ("/d/agent-1", "/"),
        ("/d/agent-1/", "/"),
        ("/d/agent-12/ok", "/d/agent-12/ok"),
        ("/ok", "/ok"),
        ("/d/agent-1/d/agent-1/ok", "/d/agent-1/ok"),
    ],
)
async def test_the_prefix_goes_once_and_only_whole(path: str, seen: str) -> None:
    app = App()
    status, body, headers = await ask(app, path)
    assert (status, body, headers[b"x-graphyard-revision"]) == (200, b"app", b"7")
    assert app.asked == [("http", seen, seen.encode())]


async def test_without_a_prefix_paths_stay() -> None:
    app = App()
    await ask(app, "/d/agent-1/ok", prefix="")
    assert app.asked == [("http", "/d/agent-1/ok", b"/d/agent-1/ok")]


async def test_websockets_lose_the_prefix_too() -> None:
    app = App()
    await ask(app, "/d/agent-1/live", kind="websocket")
    assert app.asked == [("websocket", "/live", b"/live")]


async def test_the_plane_is_answered() -> None:
    app = App()
    assert (await ask(app, "/graphyard/pulse", TOKEN))[:2] == (200, b'{"open": true}')
    assert app.asked == []


@pytest.mark.parametrize(
    ("path", "said", "led"),
    [
        ("/d/agent-1/app", "http://agents.test/app/?a=1", "/d/agent-1/app/?a=1"),
        ("/d/agent-1/app", "/app/#b", "/d/agent-1/app/#b"),
        ("/d/agent-1/app", "/d/agent-1/app/", "/d/agent-1/app/"),
        ("/d/agent-1/app", "app/", "app/"),
        ("/d/agent-1/app", "https://elsewhere.test/app/", "https://elsewhere.test/app/"),
        ("/app", "http://agents.test/app/", "http://agents.test/app/"),
    ],
)
async def test_redirections_lead_back_below_the_prefix(path: str, said: str, led: str) -> None:
    class Redirecting(App):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            headers = [(b"location", said.encode())]
            await send({"type": "http.response.start", "status": 307, "headers": headers})
            await send({"type": "http.response.body", "body": b""})

    status, _, headers = await ask(Redirecting(), path, (b"host", b"agents.test"))
    assert (status, headers[b"location"].decode()) == (307, led)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/d/agent-1/graphyard/pulse", [TOKEN]),
        ("/d/agent-1/graphyard/probe", [TOKEN]),
        ("/d/agent-1/graphyard", [TOKEN]),
        ("/graphyard/pulse", [TOKEN, FORWARDED]),
        ("/graphyard/pulse", [TOKEN, (b"forwarded", b"for=192.0.2.1")]),
        ("/graphyard/anything", [FORWARDED]),
    ],
)
async def test_callers_get_nothing_of_ours_whatever_they_show(
    path: str, headers: list[tuple[bytes, bytes]]
) -> None:
    app = App()
    status, body, _ = await ask(app, path, *headers)
    assert (status, body) == (404, b'{"detail": "Not Found"}')
    assert app.asked == []


async def test_a_neighbour_without_the_token_asks_the_server_itself() -> None:
    app = App()
    assert (await ask(app, "/graphyard/pulse", (b"x-graphyard-probe", b"other")))[1] == b"app"


class Answering:
    """The deployment's Service, in front of whichever revision."""

    def __init__(self) -> None:
        self.revision = ""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("x-graphyard-revision", outer.revision)
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}).start()

    def end(self) -> None:
        self._server.shutdown()
        self._server.server_close()


async def test_runs_follow_the_service() -> None:
    service = Answering()
    found = Service(service.url, "7")
    gate = Gate(found)
    assert (gate.open, gate.open_for) == (False, 0.0)
    for serving, is_open in (("6", False), ("7", True), ("7", True), ("8", False), ("7", True)):
        service.revision = serving
        await asyncio.to_thread(found.look)
        assert gate.open is is_open, serving
    assert gate.open_for > 0
    service.end()
    await asyncio.to_thread(found.look)
    assert gate.open, "who gets no answer goes by the last one"
    gate.closing = True
    assert not gate.open


def test_who_was_told_nothing_is_alone(tmp_path: Any) -> None:
    assert isinstance(leave(None, None, "1"), Always)
    marker = leave(str(tmp_path / "take"), None, "1")
    assert isinstance(marker, Marker)
    assert (marker.given, marker.seconds) == (False, 0.0)
    (tmp_path / "take").touch()
    assert marker.given
