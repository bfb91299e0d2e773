"""The records' database stands still, restarts, and refuses everybody, while wishes come in and one is being
made real: callers are told to come back, nothing is accepted that is not stored, and all goes on by itself."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import psutil
import psycopg
import pytest
import pytest_asyncio
from temporalio.client import Client

from dataplane.local.supervisor import Supervisor
from tests.chaos.moments import until_step
from tests.journeys.yard import Yard, agent, project
from tests.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]
Outage = Callable[[Stack], Awaitable[None]]


async def stands_still(stack: Stack) -> None:
    """All of Postgres, for seconds: connections stay open and say nothing."""
    postmaster = psutil.Process(await stack.pid("postgres"))
    everyone = [postmaster]
    try:
        # Stopped first, it makes no more of them; those whose client leaves meanwhile may still end.
        postmaster.suspend()
        everyone += postmaster.children(recursive=True)
        for process in everyone[1:]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        await asyncio.sleep(6)
    finally:
        for process in reversed(everyone):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()


async def restarts(stack: Stack) -> None:
    """As after `systemctl restart`: every connection is cut, and a moment later there is a new server."""
    await Supervisor(stack.home).restart("postgres")
    await stack.until_ready("postgres")


def refuses(seconds: float) -> Outage:
    """The role of the records may not connect, as when all connections are taken."""

    async def outage(stack: Stack) -> None:
        async with await psycopg.AsyncConnection.connect(
            stack.postgres_admin_dsn, autocommit=True
        ) as connection:
            await connection.execute("alter role graphyard connection limit 0")
            try:
                await connection.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'graphyard'"
                )
                await asyncio.sleep(seconds)
            finally:
                await connection.execute("alter role graphyard connection limit -1")

    return outage


OUTAGES = [
    pytest.param(stands_still, 0, id="stands-still"),
    pytest.param(restarts, 0, id="restarts"),
    pytest.param(refuses(8), 10, id="refuses-for-seconds"),
    pytest.param(refuses(60), 50, id="refuses-for-a-minute", marks=[pytest.mark.chaos]),
]


class Notes:
    """A client that writes something down all the time and reads it again, and keeps every answer."""

    def __init__(self, yard: Yard, deployment: str) -> None:
        self._http = yard.http
        self._place = f"/v2/deployments/{deployment}"
        self.answers: Counter[int] = Counter()
        self.wrong: list[str] = []
        self.turn = self.accepted = 0
        self.slowest = 0.0

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """For as long as the body runs."""
        task = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            self._stop = True
            await task

    async def _keep(self) -> None:
        self._stop = False
        while not self._stop:
            self.turn += 1
            secrets = [{"name": "TURN", "value": str(self.turn)}]
            if await self._ask("PATCH", {"secrets": secrets}) is not None:
                self.accepted = self.turn
            if (found := await self._ask("GET")) is not None:
                self._check(found)
            await asyncio.sleep(0.05)

    def _check(self, answer: httpx.Response) -> None:
        kept = int(next(one["value"] for one in answer.json()["secrets"] if one["name"] == "TURN"))
        # What was refused after it may have been stored all the same; what was accepted must have been.
        if not self.accepted <= kept <= self.turn:
            self.wrong.append(f"turn {self.accepted} was accepted and {kept} is kept")

    async def _ask(self, method: str, body: object = None) -> httpx.Response | None:
        began = time.monotonic()
        try:
            answer = await self._http.request(method, self._place, json=body)
        except httpx.TransportError as error:
            self.wrong.append(f"{method}: {error!r}")
            return None
        self.slowest = max(self.slowest, time.monotonic() - began)
        self.answers[answer.status_code] += 1
        if answer.status_code == 200:
            return answer
        if answer.status_code != 503 or not answer.headers.get("Retry-After", "").isdigit():
            self.wrong.append(f"{method}: {answer.status_code} {dict(answer.headers)} {answer.text[:300]}")
        return None


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def serving(stack: Stack) -> AsyncIterator[tuple[str, str]]:
    """Two deployments: one that serves, one that is only written to."""
    async with Yard(stack.url, stack.api_key) as yard:
        made = [await yard.create(f"records-{name}", {"TURN": "0"}) for name in ("serving", "noted")]
        await yard.deployed(made[0]["id"], await yard.push(made[0]["id"], project()))
        yield made[0]["id"], made[1]["id"]
        for one in made:
            await yard.delete(one["id"])
        for one in made:
            await yard.until_gone(one["id"])


@pytest.mark.parametrize(("outage", "refusals"), OUTAGES)
async def test_a_rollout_outlives_the_records(
    stack: Stack, serving: tuple[str, str], outage: Outage, refusals: int
) -> None:
    deployment, noted = serving
    temporal = await Client.connect(stack.temporal_address)
    async with Yard(stack.url, stack.api_key) as yard:
        notes, prefix = Notes(yard, noted), f"{time.time_ns()}-"
        async with notes.kept():
            revision = await yard.revise(deployment, secrets=[{"name": "ECHO_PREFIX", "value": prefix}])
            await until_step(temporal, deployment, "starting")
            await outage(stack)
            found = await yard.deployed(deployment, revision)
        assert not notes.wrong, notes.wrong[:5]
        assert notes.accepted > 0
        assert set(notes.answers) <= {200, 503}
        assert notes.answers[503] >= refusals, notes.answers
        assert notes.slowest < 15, notes.slowest
        answer = await agent(found["url"]).runs.wait(None, "echo", input={"text": "alive"})
        assert isinstance(answer, dict)
        assert answer["result"] == f"{prefix}ALIVE"
        assert found["latest_revision_id"] == found["active_revision_id"] == revision
