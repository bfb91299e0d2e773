"""Answers as a server of ours does, or breaks as BREAKS says. Only what the plane asks for is here."""

import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PREFIX = os.environ.get("GRAPHYARD_PREFIX", "")
REVISION = os.environ.get("GRAPHYARD_REVISION", "")
VERSION = os.environ.get("STANDIN_VERSION", "")
TOKEN = os.environ.get("GRAPHYARD_PROBE_TOKEN", "")
BREAKS = os.environ.get("BREAKS", "")


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = self.path.removeprefix(PREFIX).partition("?")[0] or "/"
        if path == "/ok":
            self._say(200, {"ok": True})
        elif path == "/info":
            self._say(200, {"version": VERSION})
        elif path == "/graphyard/probe" and self.headers.get("X-Graphyard-Probe") == TOKEN:
            error = "it does not load" if BREAKS == "graph" else ""
            self._say(200, {"revision": REVISION, "graphs": {"echo": error}})
        else:
            self._say(404, {"detail": "Not Found"})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._say(200, [])

    def _say(self, status: int, told: object) -> None:
        body = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Graphyard-Revision", REVISION)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
print("starting with", os.environ.get("PASSWORD"), flush=True)
if BREAKS == "import":
    import no_such_module  # type: ignore[import-not-found]  # noqa: F401
if BREAKS == "exit":
    sys.exit("it will not work with " + os.environ["PASSWORD"])
if BREAKS == "memory":
    eaten = [b"x" * (16 << 20) for _ in range(1000)]  # written to: zeroes would take no memory
if BREAKS == "silence":
    time.sleep(3600)
ThreadingHTTPServer(("", 8000), Answers).serve_forever()
