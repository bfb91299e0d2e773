"""The control plane's API: its parts are built here and nowhere else.

It serves without Temporal (wishes are kept, the sweep finds them) and says so politely without a database.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import metadata
from types import FrameType

import uvicorn
from fastapi import FastAPI

import telemetry
import temporal
from api import (
    deployments,
    drift,
    events,
    health,
    integrations,
    internal,
    listeners,
    logs,
    planes,
    problems,
    registry,
    revisions,
    source_links,
    surveys,
    uploads,
)
from api.doors import Doors, bound
from api.limit import Limit
from api.lingering import Lingering
from api.meters import Meters
from api.nudge import Nudger
from api.parts import Parts
from api.registry_tokens import RegistryTokens
from api.shapes import Refusal
from api.silence import Silence
from api.storage import Storage
from api.tickets import Tickets
from api.tidy import keep_tidy
from api.traffic import Traffic
from records.session import connect, sessions
from sealing import Keyring
from settings import Settings, UploadStore

LARGEST_BODY = 4 << 20
LARGEST_SURVEY = 64 << 20
"""Hundreds of deployments on a page, each maybe with the last lines of dead processes."""
PATIENCE = 4.0
"""Seconds for one statement: whoever asks hears within a few that the records do not answer."""
PUBLIC = (
    deployments.router,
    revisions.router,
    uploads.router,
    registry.router,
    events.router,
    logs.router,
    drift.router,
    listeners.router,
    planes.router,
    integrations.router,
)
TAGS = [
    {"name": "deployments", "description": "What is kept running, by name."},
    {"name": "revisions", "description": "One wish for a deployment each, and what became of it."},
    {"name": "uploads", "description": "Source archives on their way in."},
    {"name": "registry", "description": "Images that were built elsewhere."},
    {"name": "events", "description": "The timeline of a deployment, to read or to follow."},
    {"name": "logs", "description": "What builds and servers wrote."},
    {"name": "drift", "description": "What is not as the records say, and what is done about it."},
    {"name": "listeners", "description": "Data planes in other clusters."},
    {"name": "integrations", "description": "Code hosts."},
    {"name": "health", "description": "For machines that watch this one."},
]
DESCRIPTION = """
The deployment API that the official `langgraph` CLI speaks, served by your own machine.

Every call needs a workspace's key as `X-Api-Key` (or `Authorization: Bearer`). Lists are paged with `limit`
and `offset`. A refusal is `{"detail": "<a sentence>"}`; a malformed request is a 422 with a list of fields.
The same paths answer below `/api-host`.
"""


def create_app(settings: Settings, *, internal_port: int | None = None) -> FastAPI:
    """The app; its parts live as long as its lifespan. With addresses instead of a socket, planes have a port of
    their own."""
    meters, closing = Meters(), asyncio.Event()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with _parts(settings, meters, closing) as parts:
            app.state.parts = parts
            yield

    app = FastAPI(
        title="Graphyard",
        version=metadata.version("graphyard") if _installed() else "0",
        description=DESCRIPTION,
        openapi_tags=TAGS,
        lifespan=lifespan,
        redirect_slashes=False,
        strict_content_type=False,
        responses={503: {"model": Refusal, "description": "A part this depends on is away; try again."}},
    )
    app.state.closing = closing
    problems.install(app)
    app.add_middleware(Limit, most=LARGEST_BODY, spared=uploads.PLACE, wider={surveys.PLACE: LARGEST_SURVEY})
    app.add_middleware(Traffic, meters=meters)
    app.add_middleware(Lingering)
    if settings.api_listen:
        app.add_middleware(Doors, internal=internal_port)
    for router in PUBLIC:
        app.include_router(router)
        app.include_router(router, prefix="/api-host", include_in_schema=False)
    app.include_router(health.router)
    app.include_router(health.router, prefix="/api-host", include_in_schema=False)
    for router in (internal.router, surveys.router, source_links.router):
        app.include_router(router, include_in_schema=False)
    return app


def serve(settings: Settings) -> None:
    """Serve on the Unix socket, or on addresses, until told to stop."""
    telemetry.configure(settings)
    sockets = [bound(one) for one in (settings.api_listen, settings.internal_listen) if one]
    if settings.internal_listen and not settings.api_listen:
        raise ValueError(
            "GRAPHYARD_INTERNAL_LISTEN goes with GRAPHYARD_API_LISTEN: a socket is one door for all"
        )
    internal = sockets[1].getsockname()[1] if len(sockets) > 1 else None
    app = create_app(settings, internal_port=internal)
    config = uvicorn.Config(
        app,
        uds=None if sockets else str(settings.api_socket),
        proxy_headers=True,
        forwarded_allow_ips="*",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=10,
    )
    door = Door(config, app.state.closing)
    door.run(sockets or None)
    if not door.started:
        raise SystemExit("the api could not start; its log says why")


class Door(uvicorn.Server):
    """A server whose open streams hear at once that it stops, and whose socket only we may open."""

    def __init__(self, config: uvicorn.Config, closing: asyncio.Event) -> None:
        super().__init__(config)
        self._closing = closing

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets)  # type: ignore[arg-type]
        if self.started and self.config.uds:
            os.chmod(self.config.uds, 0o600)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._closing.set()
        super().handle_exit(signal.Signals(sig), frame)


@asynccontextmanager
async def _parts(settings: Settings, meters: Meters, closing: asyncio.Event) -> AsyncIterator[Parts]:
    keyring = Keyring.load(settings.sealing_keys)
    engine = connect(settings.database_url.get_secret_value(), patience=PATIENCE)
    made = sessions(engine)
    folder = settings.home / "uploads"
    recorded = settings.upload_store is UploadStore.RECORDS
    storage = Storage(folder, keyring, settings.upload_bytes, recorded=recorded)
    storage.prepare()
    accounts = {name: one.get_secret_value() for name, one in settings.registry_accounts.items()}
    nudger = Nudger(lambda: temporal.connect(settings), meters)
    nudger.start()
    beside = [
        asyncio.create_task(keep_tidy(folder, made), name="tidy archives"),
        asyncio.create_task(Silence(made).keep_listening(), name="mark silent planes"),
    ]
    try:
        yield Parts(
            settings=settings,
            engine=engine,
            sessions=made,
            keyring=keyring,
            nudger=nudger,
            meters=meters,
            tickets=Tickets.load(settings.sealing_keys),
            storage=storage,
            registry_tokens=RegistryTokens.load(settings.sealing_keys, accounts),
            closing=closing,
        )
    finally:
        closing.set()
        for task in beside:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await nudger.stop()
        await engine.dispose()


def _installed() -> bool:
    return any(True for _ in metadata.distributions(name="graphyard"))
