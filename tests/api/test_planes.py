"""A plane's drift: each workspace sees its own there, and what is nobody's is for who operates it."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import pytest

from api.parts import Parts
from records import orphan, plane
from records.base import now
from records.listener import Listener
from tests.api.accounts import a_loss, account, lost_and_mended
from tests.api.conftest import Yard, speaking
from tests.rows import PLANE, a_served
from workflows.shapes import Resource, ResourceKind
from workflows.surveys import Beat

Admit = Callable[[Parts, str], Awaitable[tuple[str, str]]]
DRIFT = f"/v2/listeners/{PLANE}/drift"
LEFT = Resource(kind=ResourceKind.DATABASE, name="gy_gone_0badda7a", holds_data=True)


@pytest.fixture
async def orphaned(yard: Yard) -> str:
    """The id of something that nobody owns."""
    async with yard.parts.sessions.begin() as session:
        (row,) = await orphan.enter(session, PLANE, [("0badda7a", LEFT)], first="", end=None)
    return str(row.id)


async def test_a_plane_that_never_said_a_word(yard: Yard) -> None:
    told = await yard.ok("GET", DRIFT)
    assert (told["name"], told["status"], told["visible"]) == (PLANE, "unknown", False)
    assert (told["seen_at"], told["swept"]) == (None, None)
    assert (told["differing"], told["orphans"]) == ([], [])


async def test_all_that_is_to_be_known_of_a_plane(yard: Yard, orphaned: str) -> None:
    async with yard.parts.sessions.begin() as session:
        ill, wish = await a_served(session, owner=UUID(yard.workspace_id), name="ill")
        _, healed = await a_served(session, owner=UUID(yard.workspace_id), name="healed")
        await plane.beat(session, Beat(plane=PLANE))
        await plane.swept(session, PLANE, "2 deployments, 1 differs: ill lost a replica")
    await account(yard.parts, wish, a_loss(wish))
    await lost_and_mended(yard.parts, healed, now())
    told = await yard.ok("GET", DRIFT)
    assert (told["status"], told["offline_since"]) == ("online", None)
    assert told["swept"]["sentence"] == "2 deployments, 1 differs: ill lost a replica"
    (one,) = told["differing"]
    assert (one["id"], one["name"], one["state"], one["open"]) == (str(ill.id), "ill", "repairing", 1)
    (left,) = told["orphans"]
    assert (left["id"], left["kind"], left["name"]) == (orphaned, "database", LEFT.name)
    assert (left["holds_data"], left["known"], left["asked_at"]) == (True, False, None)
    assert (told["score"]["1h"]["found"], told["score"]["1h"]["open"]) == (2, 1)


async def test_an_orphan_goes_when_somebody_asks(yard: Yard, orphaned: str) -> None:
    asked = await yard.ok("DELETE", f"/v2/listeners/{PLANE}/orphans/{orphaned}", 202)
    assert asked["asked_at"] is not None
    async with yard.parts.sessions() as session:
        assert [row.name for row in orphan.due(await orphan.listed(session, PLANE), timedelta(days=1))] == [
            LEFT.name
        ]
    assert (await yard.ok("DELETE", f"/v2/listeners/{PLANE}/orphans/{orphaned}", 202)) == asked
    async with yard.parts.sessions.begin() as session:
        await orphan.enter(session, PLANE, [], first="", end=None)
    assert "not found" in await yard.refused("DELETE", f"/v2/listeners/{PLANE}/orphans/{orphaned}", 404)
    for wrong in ("0", "-1", str(2**63), "x"):
        answer = await yard.client.delete(f"/v2/listeners/{PLANE}/orphans/{wrong}")
        assert answer.status_code == 422


async def test_another_workspace_sees_its_own_only(yard: Yard, admit: Admit, orphaned: str) -> None:
    async with yard.parts.sessions.begin() as session:
        _, wish = await a_served(session, owner=UUID(yard.workspace_id))
        await plane.beat(session, Beat(plane=PLANE))
        await plane.swept(session, PLANE, "1 deployment, 1 differs: secret-agent lost a replica")
    await account(yard.parts, wish, a_loss(wish))
    _, key = await admit(yard.parts, "other")
    async with speaking(yard.app, key) as other:
        answer = await other.get(DRIFT)
        told = answer.json()
        assert (told["status"], told["swept"]) == ("online", None)
        assert (told["differing"], told["orphans"]) == ([], [])
        assert told["score"]["30d"]["found"] == told["score"]["30d"]["open"] == 0
        assert wish.name not in answer.text
        refused = await other.delete(f"/v2/listeners/{PLANE}/orphans/{orphaned}")
        assert refused.status_code == 403
    async with yard.parts.sessions() as session:
        assert [row.asked_at for row in await orphan.listed(session, PLANE)] == [None]


async def test_a_listener_is_its_workspace_s(yard: Yard, admit: Admit) -> None:
    row = Listener(
        workspace_id=UUID(yard.workspace_id), compute_type="k8s", compute_id="cluster", compute_config={}
    )
    async with yard.parts.sessions.begin() as session:
        session.add(row)
    async with yard.parts.sessions.begin() as session:
        await plane.beat(session, Beat(plane=str(row.id), kind="kubernetes"))
    told = await yard.ok("GET", f"/v2/listeners/{row.id}/drift")
    assert (told["name"], told["status"]) == (str(row.id), "online")
    _, key = await admit(yard.parts, "other")
    async with speaking(yard.app, key) as other:
        for path in (f"{row.id}/drift", f"{str(row.id).upper()}/drift"):
            answer = await other.get(f"/v2/listeners/{path}")
            assert (answer.status_code, "not found" in answer.json()["detail"]) == (404, True)


@pytest.mark.parametrize("name", ["nowhere", "%00", "cluster", "3" * 300])
async def test_planes_nobody_knows(yard: Yard, name: str) -> None:
    assert "not found" in await yard.refused("GET", f"/v2/listeners/{name}/drift", 404)
    assert "not found" in await yard.refused("DELETE", f"/v2/listeners/{name}/orphans/1", 404)
