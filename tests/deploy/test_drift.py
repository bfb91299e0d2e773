"""`graphyard drift`: what it says, line by line, and what it says when nobody can be asked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import uvicorn
from click.testing import CliRunner
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from deploy.cli import main
from deploy.embedded import drift
from deploy.embedded.home import Home
from deploy.embedded.troubles import Trouble

NOW = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)


def before(**span: float) -> str:
    return (NOW - timedelta(**span)).isoformat()


def a_score(**fields: Any) -> dict[str, Any]:
    times = dict.fromkeys(("detected_p50", "detected_p95", "repaired_p50", "repaired_p95"))
    return {"found": 0, "repaired": 0, "gone": 0, "open": 0, **times, **fields}


def a_difference(**fields: Any) -> dict[str, Any]:
    return {
        "sentence": "process server-1f2e3d4c-1-0 is missing",
        "wanted": "running",
        "severity": "down",
        "code": None,
        "found_by": "watch",
        "since": None,
        "noticed_at": before(seconds=30),
        "closed_at": None,
        "outcome": None,
        "treatment": "",
        "rounds": 0,
        "lasted_ms": None,
        "evidence": "",
        **fields,
    }


def a_drift(**fields: Any) -> dict[str, Any]:
    return {
        "deployment_id": "d1",
        "policy": "repair",
        "state": "steady",
        "why": "",
        "since": None,
        "looked_at": None,
        "next_try_at": None,
        "plane": {"name": "local", "status": "online", "offline_since": None},
        "open": [],
        "score": {window: a_score() for window in ("1h", "24h", "30d")},
        "recent": {"resources": [], "offset": 0},
        **fields,
    }


def a_plane(**fields: Any) -> dict[str, Any]:
    return {
        "name": "local",
        "status": "online",
        "offline_since": None,
        "swept": None,
        "orphans": [],
        **fields,
    }


MENDED = a_difference(closed_at=before(hours=3), outcome="repaired", treatment="fit", lasted_ms=1234)


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines() if line.strip()]


def test_one_line_a_deployment(capsys: pytest.CaptureFixture[str]) -> None:
    ill = a_drift(state="backing off", open=[a_difference(), a_difference()])
    healed = a_drift(
        recent={"resources": [MENDED], "offset": 1},
        score={**a_drift()["score"], "24h": a_score(repaired=1, repaired_p95=1.234)},
    )
    where = a_plane(
        swept={"at": before(seconds=40), "sentence": "2 deployments, 1 differs: ill lost a replica"},
        orphans=[
            {"id": "7", "kind": "database", "name": "gy_x", "first_seen": before(days=2), "holds_data": True}
        ],
    )
    drift.show(where, [("ill", ill), ("healed", healed)], NOW)
    assert said(capsys) == [
        "plane local online",
        "last sweep 40 s ago: 2 deployments, 1 differs: ill lost a replica",
        "deployment state open last repair repaired in (p95, 24 h)",
        "ill backing off process server-1f2e3d4c-1-0 is missing (and 1 more) - -",
        "healed steady - 3 h ago 1.2 s",
        "orphan 7: database gy_x, since 2 d ago, holds data",
    ]


def test_all_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    told = a_drift(
        state="backing off",
        why="It is missing. 2 repairs did not hold.",
        since=before(minutes=5),
        looked_at=before(seconds=3),
        next_try_at=NOW.isoformat(),
        open=[
            a_difference(
                since=before(minutes=6),
                code="out_of_memory",
                treatment="fit",
                rounds=2,
                evidence="first line\nMemoryError",
            )
        ],
        recent={"resources": [MENDED], "offset": 1},
        plane={"name": "local", "status": "offline", "offline_since": before(seconds=25)},
    )
    drift.show_one("ill", told, NOW)
    lines = said(capsys)
    assert lines[0] == "ill: backing off, for 5 m"
    assert "It is missing. 2 repairs did not hold." in lines
    at = drift.clock(before(seconds=25))
    assert f"policy repair; looked at 3 s ago; plane local offline since {at} (25 s ago)" in lines
    began = drift.clock(before(minutes=6))
    at_last = lines.index(f"{began} process server-1f2e3d4c-1-0 is missing [out_of_memory]")
    assert lines[at_last + 1 : at_last + 5] == [
        "wanted running; down; found by watch",
        "tried: fit; 2 repairs did not hold",
        "| first line",
        "| MemoryError",
    ]
    assert "repaired after 1.2 s: fit" in lines
    assert "last 30d 0 0 0 - / - - / -" in lines


@pytest.mark.parametrize(("value", "told"), [(None, "-"), (0.009, "9 ms"), (1.234, "1.2 s"), (43.4, "43 s")])
def test_times_are_told_as_exactly_as_they_matter(value: float | None, told: str) -> None:
    assert drift.seconds(value) == told


def test_nothing_is_there_to_be_told(capsys: pytest.CaptureFixture[str]) -> None:
    drift.show(a_plane(status="unknown"), [], NOW)
    assert said(capsys) == ["plane local unknown", "deployments: none yet"]
    drift.show_one("fine", a_drift(), NOW)
    assert "now: nothing differs" in said(capsys)


@pytest.fixture
def keyed(home: Home) -> Home:
    """A home of a stack that is down."""
    home.api_key.parent.mkdir(parents=True)
    home.api_socket.parent.mkdir(parents=True)
    home.api_key.write_text("gy_key\n")
    home.stack.write_text("{}")
    return home


@asynccontextmanager
async def answering(home: Home, app: FastAPI) -> AsyncIterator[None]:
    """Something behind the socket where the api is looked for."""
    server = uvicorn.Server(uvicorn.Config(app, uds=str(home.api_socket), log_config=None))
    task = asyncio.create_task(server.serve())
    while not server.started:
        assert not task.done()
        await asyncio.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        await task


def an_api() -> FastAPI:
    app = FastAPI()

    @app.get("/v2/listeners/local/drift")
    def where() -> dict[str, Any]:
        return a_plane()

    @app.get("/v2/deployments")
    def deployments() -> dict[str, Any]:
        return {"resources": [{"id": "d1", "name": "agent"}, {"id": "gone", "name": "gone"}], "offset": 2}

    @app.get("/v2/deployments/{deployment_id}/drift", response_model=None)
    def told(deployment_id: str) -> dict[str, Any] | JSONResponse:
        return a_drift() if deployment_id == "d1" else JSONResponse({"detail": "gone"}, 404)

    return app


async def test_what_is_deleted_meanwhile_is_left_out(keyed: Home) -> None:
    async with answering(keyed, an_api()):
        where, found = await drift.everything(keyed)
        assert where["status"] == "online"
        assert [name for name, _ in found] == ["agent"]
        for name in ("agent", "d1"):
            assert (await drift.named(keyed, name))["deployment_id"] == "d1"
        for name in ("gone", "nobody"):
            with pytest.raises(Trouble, match=f"no deployment named '{name}'"):
                await drift.named(keyed, name)


async def test_records_that_are_away_are_told_in_the_api_s_words(keyed: Home) -> None:
    app = FastAPI()

    @app.get("/{path:path}")
    def away(path: str) -> JSONResponse:
        return JSONResponse({"detail": "The database behind this API is away."}, 503)

    async with answering(keyed, app):
        with pytest.raises(Trouble, match="The database behind this API is away"):
            await drift.everything(keyed)


@pytest.mark.parametrize("arguments", [["drift"], ["drift", "agent"]])
def test_a_stack_that_is_down_is_one_sentence(keyed: Home, arguments: list[str]) -> None:
    done = CliRunner().invoke(main, arguments, env={"GRAPHYARD_HOME": str(keyed.root)})
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == f"graphyard: {drift.DOWN}\n"
