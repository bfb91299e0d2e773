"""What a plane tells the api and fetches there: over its socket or its internal address, with the plane's token.

The listener of a plane connects out and nobody connects in, so a plane may live in somebody else's network.
Log lines are sent until they arrive, however long the api is away: the files hold them meanwhile, and the
next batch is read only when this one was taken.
"""

import asyncio
import hashlib
import json
import random
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Protocol
from uuid import UUID

import httpx
import structlog

from dataplane.local.logs import Batch, Tailer
from workflows.causes import Code, Refused
from workflows.lines import TOKEN_HEADER, Line, Lines, Taken
from workflows.surveys import Beat, SurveyPage, Tidings, Verdict

log = structlog.get_logger()

JSON = {"Content-Type": "application/json"}
BEAT = 5.0
UNWELCOME = frozenset({400, 413, 422})
"""Answers that speak of what was sent; any other failure speaks of the api and may pass."""


class Unwelcome(Exception):
    """What was sent is not understood, now or later."""


class Reports(Protocol):
    """Where log lines go."""

    async def send(self, lines: Sequence[Line]) -> Taken:
        """Deliver lines; returns when they have arrived, however long that takes."""


def client(door: Path | str, token: str, *, ca: Path | None = None) -> httpx.AsyncClient:
    """A client of the api's internal door, a socket or a URL; the worker makes one and closes it. `ca` vouches for
    the URL's host instead of the public authorities."""
    headers, timeout = {TOKEN_HEADER: token}, httpx.Timeout(30, connect=5)
    if isinstance(door, Path):
        over = httpx.AsyncHTTPTransport(uds=str(door))
        return httpx.AsyncClient(transport=over, base_url="http://api", headers=headers, timeout=timeout)
    trusted: ssl.SSLContext | bool = ssl.create_default_context(cafile=str(ca)) if ca else True
    return httpx.AsyncClient(base_url=door, headers=headers, timeout=timeout, verify=trusted)


class HttpReports:
    """Reports to the api, again and again until it takes them."""

    def __init__(
        self, api: httpx.AsyncClient, *, first_pause: float = 0.2, longest_pause: float = 10.0
    ) -> None:
        self._api = api
        self._first_pause, self._longest_pause = first_pause, longest_pause

    async def send(self, lines: Sequence[Line]) -> Taken:
        pause, failures = self._first_pause, 0
        body = Lines.model_construct(lines=list(lines)).model_dump_json().encode()
        while True:
            try:
                answer = await self._api.post("/internal/v1/lines", content=body, headers=JSON)
                if answer.status_code in UNWELCOME:
                    return await self._apart(lines, answer)
                answer.raise_for_status()
                taken = Taken.model_validate_json(answer.content)
            except (httpx.HTTPError, ValueError) as error:
                failures += 1
                if failures in {1, 10} or failures % 100 == 0:
                    log.warning("log lines wait", error=_brief(error), failures=failures, lines=len(lines))
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
                pause = min(pause * 2, self._longest_pause)
            else:
                if failures:
                    log.info("log lines move again", failures=failures)
                return taken

    async def _apart(self, lines: Sequence[Line], answer: httpx.Response) -> Taken:
        """One bad line must hold nothing up: halve until it stands alone, and leave it out."""
        if len(lines) == 1:
            line = lines[0]
            log.error(
                "log line refused", status=answer.status_code, stream=line.stream, position=line.position
            )
            return Taken(dropped=1)
        middle = len(lines) // 2
        first, second = await self.send(lines[:middle]), await self.send(lines[middle:])
        return Taken(
            stored=first.stored + second.stored,
            known=first.known + second.known,
            dropped=first.dropped + second.dropped,
        )


class HttpSources:
    """Archives as the api unseals them; implements `dataplane.plane.Sources`."""

    def __init__(self, api: httpx.AsyncClient) -> None:
        self._api = api

    async def fetch(self, upload_id: UUID, to: Path) -> None:
        """Write it to a place of the caller's own, maybe a file without a name. What may pass is raised
        as it comes; what was written then is worth nothing."""
        async with self._api.stream("GET", f"/internal/v1/sources/{upload_id}") as answer:
            if answer.status_code in {404, 410, 422}:
                await answer.aread()
                raise Refused(
                    Code.SOURCE_MISSING,
                    _detail(answer),
                    "Deploy again, so that the source is uploaded anew.",
                )
            answer.raise_for_status()
            digest = await _write(answer.aiter_bytes(), to)
        if digest != (promised := answer.headers.get("X-Archive-Sha256")):
            raise httpx.ReadError(f"the archive came as {digest}, not as {promised}")


class HttpLinks:
    """Addresses that hand an archive out once, as the api makes them; for builds that have no token of a plane's."""

    def __init__(self, api: httpx.AsyncClient) -> None:
        self._api = api

    async def link(self, upload_id: UUID) -> str:
        """Its path, below whatever address builds reach the api by."""
        answer = await self._api.post(f"/internal/v1/sources/{upload_id}/links")
        if answer.status_code in {404, 410, 422}:
            raise Refused(
                Code.SOURCE_MISSING,
                _detail(answer),
                "Deploy again, so that the source is uploaded anew.",
            )
        answer.raise_for_status()
        return str(answer.json()["path"])


class HttpSurveys:
    """Pages judged by the api; implements `activities.plane.survey.Surveys`. An api that restarts is waited
    for, one that stays away is the next sweep's: this one must not hold up the wishes that wait."""

    def __init__(self, api: httpx.AsyncClient, *, patience: float = 10.0, pause: float = 0.2) -> None:
        self._api = api
        self._patience, self._pause = patience, pause

    async def judge(self, page: SurveyPage) -> Verdict:
        loop = asyncio.get_running_loop()
        began, pause = loop.time(), self._pause
        body = page.model_dump_json().encode()
        while True:
            try:
                answer = await self._api.post("/internal/v1/surveys", content=body, headers=JSON)
                if answer.status_code in UNWELCOME:
                    raise Unwelcome(f"the api answered {answer.status_code}")
                answer.raise_for_status()
                return Verdict.model_validate_json(answer.content)
            except (httpx.HTTPError, ValueError) as error:
                if loop.time() - began > self._patience:
                    raise ConnectionError("the api cannot be reached") from error
                log.info("a survey waits", error=_brief(error))
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
                pause = min(pause * 2, self._patience / 2)

    async def conclude(self, tidings: Tidings) -> None:
        body = tidings.model_dump_json().encode()
        try:
            (await self._api.post("/internal/v1/tidings", content=body, headers=JSON)).raise_for_status()
        except httpx.HTTPError as error:
            log.info("what a survey came to is not heard", error=_brief(error))


async def beat(api: httpx.AsyncClient, plane: Beat, every: float = BEAT) -> None:
    """Say every few seconds that the plane is there, for as long as the worker lives. That the api is away is
    said once: a beat is worth nothing later."""
    silent = False
    while True:
        try:
            answer = await api.post(
                "/internal/v1/beats", content=plane.model_dump_json().encode(), headers=JSON, timeout=every
            )
            answer.raise_for_status()
        except httpx.HTTPError as error:
            if not silent:
                log.info("the plane is not heard", error=_brief(error))
            silent = True
        else:
            silent = False
        await asyncio.sleep(every)


async def ship(tailer: Tailer, reports: Reports) -> None:
    """Bring every log line of a plane to the api, for as long as the worker lives: one task of its own.

    `async with client(socket, token) as api: await ship(Tailer(home / "logs", home / "data/shipped.json"),
    HttpReports(api))`. Whatever happens to one batch, the next ones follow; only a cancellation ends it.
    """
    while True:
        try:
            async with aclosing(tailer.batches()) as batches:
                async for batch in batches:
                    await _deliver(tailer, reports, batch)
        except Exception:
            log.exception("log shipping starts over")
            await asyncio.sleep(5)


async def _deliver(tailer: Tailer, reports: Reports, batch: Batch) -> None:
    taken = await reports.send(batch.lines)
    tailer.confirm(batch)
    if taken.dropped:
        log.info("log lines of nobody", dropped=taken.dropped, lines=len(batch.lines))


async def _write(chunks: AsyncIterator[bytes], to: Path) -> str:
    digest = hashlib.sha256()
    with await asyncio.to_thread(to.open, "wb") as file:
        async for chunk in chunks:
            digest.update(chunk)
            await asyncio.to_thread(file.write, chunk)
    return digest.hexdigest()


def _detail(answer: httpx.Response) -> str:
    try:
        detail = json.loads(answer.content)["detail"]
    except (ValueError, KeyError, TypeError):
        detail = None
    return detail if isinstance(detail, str) else "The source archive is not on record."


def _brief(error: Exception) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"{error.response.status_code} {_detail(error.response)}"
    return f"{type(error).__name__}: {error}"[:300]
