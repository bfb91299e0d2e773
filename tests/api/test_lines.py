"""The internal door of the logs: planes write what is theirs, and nothing else."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from settings import Settings
from tests.api.conftest import Yard
from tests.api.desk import PLANE, Desk, opened_desk
from workflows.lines import TOKEN_HEADER


@pytest.fixture
async def desk(yard: Yard) -> Desk:
    return await opened_desk(yard)


@pytest.mark.parametrize("token", [None, "", "wrong", "plane-token ", "plane-toke", "pläne"])
async def test_a_wrong_plane_token_opens_nothing(desk: Desk, token: str | None) -> None:
    headers = {} if token is None else {TOKEN_HEADER: token.encode()}
    for method, path in (("POST", "/internal/v1/lines"), ("GET", f"/internal/v1/sources/{uuid4()}")):
        answer = await desk.yard.client.request(
            method,
            path,
            json={"lines": [desk.sent(0)]},
            headers=headers,  # type: ignore[arg-type]
        )
        assert answer.status_code == 401, answer.text
    assert (await desk.read())["logs"] == []


async def test_without_a_configured_token_nobody_is_a_plane(yard: Yard, settings: Settings) -> None:
    bare = settings.model_copy(update={"plane_token": SecretStr("")})
    yard.app.state.parts = replace(yard.parts, settings=bare)
    for token in ("", "plane-token"):
        answer = await yard.client.post(
            "/internal/v1/lines", json={"lines": []}, headers={TOKEN_HEADER: token}
        )
        assert answer.status_code == 401


async def test_lines_of_nobody_are_dropped_and_counted(desk: Desk) -> None:
    taken = await desk.ship(
        desk.sent(0), desk.sent(1, deployment="ffffffff"), desk.sent(2, number=77), desk.sent(3)
    )
    assert taken == {"stored": 2, "known": 0, "dropped": 2}
    assert await desk.messages() == ["line 0", "line 3"]


async def test_a_plane_cannot_write_what_is_no_line(desk: Desk) -> None:
    wrong: list[dict[str, Any]] = [
        {"deployment": "../../.."},
        {"kind": "secret"},
        {"level": "LOUD"},
        {"position": -1},
        {"position": 2**63},
        {"number": 0},
        {"message": "x" * 40_000},
        {"at": "soon"},
        {"at": "2025-11-23T01:00:00"},
        {"at": "0001-01-01T00:00:00+00:00"},
    ]
    for fields in wrong:
        answer = await desk.yard.client.post(
            "/internal/v1/lines", json={"lines": [{**desk.sent(0), **fields}]}, headers=PLANE
        )
        assert answer.status_code == 422, fields
    assert (await desk.ship(desk.sent(0, message="nul \0"))) == {"stored": 1, "known": 0, "dropped": 0}
