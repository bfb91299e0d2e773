"""One server process, asked over its Unix socket or address: does it answer, and for what it claims?"""

import asyncio
import json
import ssl
import time
from pathlib import Path

import httpx

from dataplane.flavours import ServerFlavour
from dataplane.local.pulse import Pulse
from workflows.causes import Code, Refused
from workflows.drift import ANSWERS, SILENT

PROBE, PULSE = "/graphyard/probe", "/graphyard/pulse"
TOKEN_HEADER, REVISION_HEADER = "x-graphyard-probe", "x-graphyard-revision"
PROOF_SECONDS = 90.0
HEALTH_SECONDS = 30.0
AWAY = "without its databases"
AGAIN = 0.6
NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Never used on a Unix socket; httpx would read all certificates of the machine anew for each client, for 40 ms."""
FIX = "The deploy logs of the revision have the server's side of it."


class Replica:
    """A replica of a revision, by its name and where it listens. One that is not `named` has nothing of ours in
    it: its answers do not say of which revision they are."""

    def __init__(
        self,
        name: str,
        socket: Path | None,
        number: int,
        *,
        address: str = "http://replica",
        named: bool = True,
    ) -> None:
        self.name = name
        self._socket = socket
        self._number = number
        self._address = address
        self._named = named

    async def answers(self, timeout: float = 2.0) -> bool:
        """Whether this revision's server takes requests there now."""
        try:
            async with self._client(timeout) as client:
                answer = await client.get("/ok")
        except httpx.HTTPError:
            return False
        return answer.status_code == 200 and self._is_this(answer)

    async def health(self, flavour: ServerFlavour, timeout: float = 2.0) -> str:
        """`ANSWERS`, `AWAY`, or how it fails to answer. A failure is believed when it comes twice."""
        told = await self._health(flavour, timeout)
        if told != ANSWERS:
            await asyncio.sleep(AGAIN)
            told = await self._health(flavour, timeout)
        return told

    async def silent(self, flavour: ServerFlavour, timeout: float = 2.0) -> bool:
        """Whether it takes a request and does not answer it."""
        return (await self._health(flavour, timeout)).startswith(SILENT)

    async def pulse(self, token: str, timeout: float = 4.0) -> Pulse | None:
        """What its queue is at; None from one that cannot tell, as those of older releases."""
        try:
            async with self._client(timeout) as client:
                answer = await client.get(PULSE, headers={TOKEN_HEADER: token})
        except httpx.HTTPError:
            return None
        return Pulse.told(_json(answer)) if answer.status_code == 200 else None

    async def _health(self, flavour: ServerFlavour, timeout: float) -> str:
        try:
            async with self._client(timeout) as client:
                answer = await client.get(flavour.health)
        except httpx.ConnectError:
            gone = self._socket is not None and not await asyncio.to_thread(self._socket.exists)
            return "unreachable: its socket is gone" if gone else "unreachable"
        except httpx.HTTPError:
            return AWAY if await self.answers(timeout) else f"{SILENT} for {timeout:.0f} s"
        if not self._is_this(answer):
            return f"answering as revision {answer.headers.get(REVISION_HEADER, 'unknown')}"
        if answer.status_code == 200:
            return ANSWERS
        return AWAY if await self.answers(timeout) else f"answering {answer.status_code}"

    async def prove(self, flavour: ServerFlavour, graphs: list[str], token: str) -> None:
        """Refused unless the database, the version and every graph's schemas answer; without `graphs` each one
        that the server says was declared.

        A connection that fails is no proof of anything: it raises as it is, and the step is tried again.
        """
        async with self._client(PROOF_SECONDS) as client:
            await self._until_healthy(client, flavour)
            try:
                await self._claims(client, flavour, graphs, token)
            except Refused:
                # A database may have gone away in between: only what is refused twice is refused.
                await self._until_healthy(client, flavour)
                await self._claims(client, flavour, graphs, token)

    async def _until_healthy(self, client: httpx.AsyncClient, flavour: ServerFlavour) -> None:
        """A database that comes back after a crash takes seconds; what it fails meanwhile proves nothing."""
        deadline = time.monotonic() + HEALTH_SECONDS
        while True:
            healthy = await client.get(flavour.health)
            if healthy.status_code < 500 or time.monotonic() > deadline:
                break
            await asyncio.sleep(0.3)
        self._expect(healthy.status_code == 200, f"{flavour.health} answers {_told(healthy)}")

    async def _claims(
        self, client: httpx.AsyncClient, flavour: ServerFlavour, graphs: list[str], token: str
    ) -> None:
        if not flavour.entry:
            found = await client.post("/assistants/search", json={"limit": 1})
            # Who asks who is there is asked nothing more, nor who is at home below a prefix only.
            self._expect(found.status_code in (200, 401, 403, 404), f"its assistants answer {_told(found)}")
            return
        info = await client.get(flavour.info)
        version = _json(info).get("version")
        # A project may put a page of its own there; then there is nothing to compare.
        self._expect(
            version in (None, flavour.version),
            f"{flavour.info} tells version {version} where {flavour.version} was built",
        )
        probe = await client.get(PROBE, headers={TOKEN_HEADER: token})
        self._expect(probe.status_code == 200, f"the probe answers {_told(probe)}")
        told = _json(probe).get("graphs")
        answered: dict[str, str] = told if isinstance(told, dict) else {}
        self._expect(bool(graphs or answered), "it lists no graph")
        for graph in graphs or answered:
            error = answered.get(graph, "it is not listed")
            self._expect(not error, f"the graph {graph!r} does not answer: {error}")

    def _expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise Refused(Code.PROOF_FAILED, f"Replica {self.name} runs, but {otherwise}.", FIX)

    def _is_this(self, answer: httpx.Response) -> bool:
        return not self._named or answer.headers.get(REVISION_HEADER) == str(self._number)

    def _client(self, timeout: float) -> httpx.AsyncClient:
        socket = str(self._socket) if self._socket is not None else None
        transport = httpx.AsyncHTTPTransport(uds=socket, verify=NO_CERTIFICATES)
        return httpx.AsyncClient(transport=transport, base_url=self._address, timeout=timeout)


def _told(answer: httpx.Response) -> str:
    return f"{answer.status_code} ({answer.text[:200]})"


def _json(answer: httpx.Response) -> dict[str, object]:
    try:
        body = json.loads(answer.content)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
