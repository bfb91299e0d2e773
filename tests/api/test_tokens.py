"""Planes with tokens of their own speak for themselves and for nobody else."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from api.parts import Parts
from records.deployment import Deployment
from settings import Settings
from tests.api.conftest import PUBLIC, opened
from tests.rows import a_deployment, a_revision
from workflows.lines import TOKEN_HEADER

EAST, WEST = "the token of the east", "the token of the west"
Speaking = Callable[[str], httpx.AsyncClient]


@pytest.fixture
async def house(settings: Settings) -> AsyncIterator[tuple[Speaking, Parts]]:
    """Clients by token, and the parts behind them."""
    tokens = {"east": SecretStr(EAST), "west": SecretStr(WEST)}
    async with opened(settings.model_copy(update={"plane_tokens": tokens})) as (app, parts):

        def speaking(token: str) -> httpx.AsyncClient:
            headers = {TOKEN_HEADER: token}
            return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=PUBLIC, headers=headers)

        yield speaking, parts


@pytest.fixture
async def eastern(house: tuple[Speaking, Parts]) -> Deployment:
    """A deployment on the eastern plane, with a revision and its archive."""
    async with house[1].sessions.begin() as session:
        row = await a_deployment(session, plane="east")
        await a_revision(session, row)
    return row


@pytest.mark.parametrize("token", ["", "plane-token", "the token of the north", f"{EAST} "])
async def test_who_is_no_plane(house: tuple[Speaking, Parts], token: str) -> None:
    async with house[0](token) as stranger:
        answer = await stranger.post("/internal/v1/beats", json={"plane": "east"})
        assert answer.status_code == 401, "the token of all planes is no token where each has its own"


WORDS: dict[str, dict[str, Any]] = {
    "/internal/v1/beats": {"plane": "east", "kind": "kubernetes"},
    "/internal/v1/tidings": {"plane": "east", "sentence": "0 deployments, none differs"},
    "/internal/v1/surveys": {"plane": "east", "first": "", "end": None, "looked": [], "seen": []},
}


@pytest.mark.parametrize("place", WORDS)
async def test_a_word_for_oneself_and_for_another(house: tuple[Speaking, Parts], place: str) -> None:
    async with house[0](EAST) as east, house[0](WEST) as west:
        assert (await east.post(place, json=WORDS[place])).is_success
        refused = await west.post(place, json=WORDS[place])
        assert refused.status_code == 403
        assert "'west'" in refused.json()["detail"]
        assert WEST not in refused.text


async def test_lines_of_others_are_nobody_s(house: tuple[Speaking, Parts], eastern: Deployment) -> None:
    line = {
        "deployment": eastern.short,
        "number": 1,
        "kind": "deploy",
        "at": datetime.now(UTC).isoformat(),
        "level": "INFO",
        "message": "it runs",
        "stream": "pod/server/0",
        "position": 1,
    }
    async with house[0](EAST) as east, house[0](WEST) as west:
        taken = await west.post("/internal/v1/lines", json={"lines": [line]})
        assert taken.json() == {"stored": 0, "known": 0, "dropped": 1}
        taken = await east.post("/internal/v1/lines", json={"lines": [line]})
        assert taken.json() == {"stored": 1, "known": 0, "dropped": 0}


async def test_archives_of_others_are_not_there(house: tuple[Speaking, Parts], eastern: Deployment) -> None:
    upload_id = eastern.source_revision_config["source_tarball_path"].rsplit("/", 1)[1].split(".")[0]
    async with house[0](EAST) as east, house[0](WEST) as west:
        theirs = await west.get(f"/internal/v1/sources/{upload_id}")
        own = await east.get(f"/internal/v1/sources/{upload_id}")
    assert (theirs.status_code, theirs.json()["detail"].endswith("was never uploaded.")) == (404, True)
    assert (own.status_code, own.json()["detail"].endswith("not on disk any more.")) == (404, True)
