"""Alive, ready and measured; and a database that is away."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
import structlog
from psycopg import conninfo
from pydantic import SecretStr

from settings import Settings
from tests.api.conftest import NOBODY, Yard, built, opened, speaking


async def test_alive_and_ready(yard: Yard) -> None:
    assert await yard.ok("GET", "/health", headers={"X-Api-Key": ""}) == {"status": "alive"}
    ready = await yard.ok("GET", "/ready", headers={"X-Api-Key": ""})
    assert ready == {"ready": True, "database": "ready", "temporal": "away"}
    assert await yard.ok("GET", "/api-host/ready") == ready


async def test_a_database_without_our_schema_is_not_ready(yard: Yard) -> None:
    dsn = yard.parts.settings.database_url.get_secret_value()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
        assert (await yard.ok("GET", "/ready", 503))["database"] == "behind"
        connection.execute("DELETE FROM alembic_version")
        assert (await yard.ok("GET", "/ready", 503))["database"] == "behind"
        connection.execute("DROP TABLE alembic_version")
        assert (await yard.ok("GET", "/ready", 503))["database"] == "behind"


async def test_a_schema_that_is_newer_is_ready(yard: Yard) -> None:
    """An upgrade migrates while the old api serves on, and a rollback comes to a schema it has never seen."""
    dsn = yard.parts.settings.database_url.get_secret_value()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    assert (await yard.ok("GET", "/ready"))["database"] == "ready"


async def test_without_a_database_everything_is_said_in_a_sentence(settings: Settings) -> None:
    away = settings.model_copy(update={"database_url": SecretStr(f"postgresql://u:hidden@{NOBODY}/x")})
    async with opened(away) as (app, _), speaking(app, "gy_any") as client:
        for method, path in (("GET", "/v2/deployments"), ("POST", "/v2/deployments")):
            answer = await client.request(method, path, json=built("agent") if method == "POST" else None)
            assert answer.status_code == 503
            assert int(answer.headers["Retry-After"]) > 0
            assert answer.json()["detail"].startswith("The database behind this API is away")
            assert "hidden" not in answer.text
            assert "Traceback" not in answer.text
        assert (await client.get("/ready")).json()["database"] == "away"
        assert (await client.get("/health")).status_code == 200
        assert "graphyard_database_up 0.0" in (await client.get("/metrics")).text


async def test_a_connection_that_was_cut_is_made_again(yard: Yard) -> None:
    await yard.create("agent")
    dsn = yard.parts.settings.database_url.get_secret_value()
    with psycopg.connect(conninfo.make_conninfo(dsn, dbname="postgres"), autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            (conninfo.conninfo_to_dict(dsn)["dbname"],),
        )
    assert len((await yard.ok("GET", "/v2/deployments"))["resources"]) == 1


async def test_metrics_count_by_route_and_never_by_path(yard: Yard) -> None:
    made = await yard.create("agent")
    await yard.push(made["id"])
    await yard.client.get(f"/v2/deployments/{made['id']}")
    await yard.client.get("/v2/nowhere")
    told = (await yard.client.get("/metrics")).text
    for line in (
        'graphyard_requests_total{method="GET",route="/v2/deployments/{deployment_id}",status="200"} 1.0',
        'graphyard_requests_total{method="GET",route="unknown",status="404"} 1.0',
        'graphyard_deployments{status="AWAITING_DATABASE"} 1.0',
        'graphyard_revisions{status="CREATING"} 1.0',
        "graphyard_nudges_failed_total 2.0",
        "graphyard_database_up 1.0",
    ):
        assert line in told
    assert made["id"] not in told
    assert "graphyard_uploaded_bytes_total" in told


async def test_what_nobody_foresaw_is_a_sentence_too(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = uuid4().hex
    await yard.create("agent", secrets=[{"name": "A", "value": marker}])

    def broken(*_: object) -> dict[str, str]:
        raise KeyError(marker)

    monkeypatch.setattr(type(yard.parts.keyring), "open_map", broken)
    with structlog.testing.capture_logs() as told:
        answer = await yard.client.get("/v2/deployments")
    assert answer.status_code == 500
    failed = next(entry for entry in told if entry["event"] == "request failed")
    assert failed["error"] == "KeyError"
    assert "in broken" in failed["trace"]
    assert marker not in str(told)
    assert set(answer.json()) == {"detail"}
    assert marker not in answer.text
    assert answer.headers["x-request-id"]


async def test_it_serves_on_its_socket_alone_and_ends_when_told(settings: Settings) -> None:
    """The program as the supervisor starts it; once more over the socket that a killed one left."""
    for end, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, -signal.SIGTERM)):
        process = _started(settings)
        try:
            assert (await _ready(settings, process))["ready"] is True
            mode = settings.api_socket.stat().st_mode
            assert stat.S_ISSOCK(mode)
            assert stat.S_IMODE(mode) == 0o600
            assert not _listens(process.pid)
        finally:
            process.send_signal(end)
            ended = await asyncio.to_thread(process.wait, 15)
        assert ended == code


async def test_it_says_so_when_it_cannot_start(settings: Settings) -> None:
    settings.sealing_keys.unlink()
    process = _started(settings)
    assert await asyncio.to_thread(process.wait, 15) not in (0, None)


def _started(settings: Settings) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "GRAPHYARD_HOME": str(settings.home),
        "GRAPHYARD_DATABASE_URL": settings.database_url.get_secret_value(),
        "GRAPHYARD_SEALING_KEYS": str(settings.sealing_keys),
        "GRAPHYARD_API_SOCKET": str(settings.api_socket),
        "GRAPHYARD_TEMPORAL_ADDRESS": NOBODY,
    }
    code = "from api.main import serve; from settings import Settings; serve(Settings())"
    root = Path(__file__).parents[2]
    return subprocess.Popen([sys.executable, "-c", code], env=environment, cwd=root)


async def _ready(settings: Settings, process: subprocess.Popen[bytes]) -> Any:
    transport = httpx.AsyncHTTPTransport(uds=str(settings.api_socket))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        while True:
            try:
                return (await client.get("/ready")).json()
            except httpx.TransportError:
                assert process.poll() is None
                await asyncio.sleep(0.05)


def _listens(pid: int) -> bool:
    """Whether a process has a TCP socket that listens."""
    own = {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in own:
                return True
    return False
