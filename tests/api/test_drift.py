"""Drift as callers see it: what differs, what is done, how it was met; and what they may choose and ask."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from api.nudge import Nudger
from api.parts import Parts
from records import deployment, plane
from records.base import now
from records.deployment import Deployment
from tests.api.accounts import a_loss, account, lost_and_mended
from tests.api.conftest import Yard, speaking
from tests.rows import PLANE, a_served
from workflows.accounts import Finder, Notice
from workflows.mending import State
from workflows.shapes import Wish
from workflows.surveys import Beat

Admit = Callable[[Parts, str], Awaitable[tuple[str, str]]]


async def serving(yard: Yard, **fields: Any) -> tuple[Deployment, Wish]:
    async with yard.parts.sessions.begin() as session:
        return await a_served(session, owner=UUID(yard.workspace_id), **fields)


def path(row: Deployment) -> str:
    return f"/v2/deployments/{row.id}/drift"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[UUID, Notice, dict[str, str]]]:
    """What workflows are told, by a Temporal that hears everything."""
    told: list[tuple[UUID, Notice, dict[str, str]]] = []

    async def inspect(_: Nudger, deployment_id: UUID, notice: Notice, **about: str) -> bool:
        told.append((deployment_id, notice, about))
        return True

    monkeypatch.setattr(Nudger, "inspect", inspect)
    return told


async def test_nothing_differs_and_nobody_looked(yard: Yard) -> None:
    made = await yard.create("agent")
    told = await yard.ok("GET", f"/v2/deployments/{made['id']}/drift")
    assert told["deployment_id"] == made["id"]
    assert (told["policy"], told["state"], told["open"]) == ("repair", "steady", [])
    assert (told["looked_at"], told["next_try_at"]) == (None, None)
    assert told["recent"] == {"resources": [], "offset": 0}
    assert told["plane"] == {
        "name": "local",
        "status": "unknown",
        "visible": False,
        "offline_since": None,
        "seen_at": None,
    }
    assert list(told["score"]) == ["1h", "24h", "30d"]
    for score in told["score"].values():
        assert score == {
            **dict.fromkeys(("found", "repaired", "gone", "open"), 0),
            **dict.fromkeys(("detected_p50", "detected_p95", "repaired_p50", "repaired_p95")),
        }


async def test_what_differs_is_told_with_evidence(yard: Yard) -> None:
    row, wish = await serving(yard)
    loss = a_loss(wish, since=now() - timedelta(seconds=5))
    due = now() + timedelta(seconds=6)
    await account(yard.parts, wish, loss)
    await account(
        yard.parts,
        wish,
        loss,
        state=State.BACKING_OFF,
        why="1 repair did not hold.",
        next_try_at=due,
        treated={loss.key: "fit"},
        rounds=1,
    )
    told = await yard.ok("GET", path(row))
    assert (told["state"], told["why"]) == ("backing off", "1 repair did not hold.")
    assert datetime.fromisoformat(told["next_try_at"]) == due
    assert told["looked_at"] is not None
    (one,) = told["open"]
    assert (one["field"], one["name"], one["wanted"], one["seen"]) == (
        "process",
        loss.name,
        "running",
        "missing",
    )
    assert one["sentence"] == f"process {loss.name} is missing"
    assert (one["severity"], one["evidence"]) == ("down", "Out of memory\nlast words")
    assert (one["found_by"], one["treatment"], one["rounds"]) == ("watch", "fit", 1)
    assert (one["closed_at"], one["outcome"], one["lasted_ms"]) == (None, None, None)
    assert told["score"]["1h"]["open"] == told["score"]["1h"]["found"] == 1
    assert told["recent"]["resources"] == []


async def test_what_is_over_is_paged_and_scored_by_when_it_was(yard: Yard) -> None:
    row, wish = await serving(yard)
    for hours in (50, 5, 0):
        await lost_and_mended(yard.parts, wish, now() - timedelta(hours=hours))
    told = await yard.ok("GET", path(row), params={"limit": 2})
    assert told["open"] == []
    assert [one["lasted_ms"] for one in told["recent"]["resources"]] == [10_000, 10_000]
    newest = told["recent"]["resources"][0]
    assert (newest["outcome"], newest["treatment"]) == ("repaired", "fit")
    assert told["recent"]["offset"] == 2
    rest = (await yard.ok("GET", path(row), params={"limit": 2, "offset": 2}))["recent"]
    assert len(rest["resources"]) == 1
    assert rest["resources"][0]["id"] < newest["id"]
    assert [score["repaired"] for score in told["score"].values()] == [1, 2, 3]
    assert told["score"]["1h"]["repaired_p95"] == pytest.approx(10, abs=0.01)
    assert told["score"]["1h"]["detected_p95"] == pytest.approx(2, abs=0.01)


async def test_a_plane_that_is_gone_is_told_and_the_status_stays(yard: Yard) -> None:
    row, _ = await serving(yard)
    async with yard.parts.sessions.begin() as session:
        await plane.beat(session, Beat(plane=PLANE))
    assert (await yard.ok("GET", path(row)))["plane"]["status"] == "online"
    async with yard.parts.sessions.begin() as session:
        assert await plane.mark_offline(session, now()) == [PLANE]
    told = (await yard.ok("GET", path(row)))["plane"]
    assert (told["status"], told["visible"]) == ("offline", False)
    assert told["offline_since"] == told["seen_at"] is not None
    async with yard.parts.sessions() as session:
        found = await deployment.get(session, row.workspace_id, row.id)
        assert found is not None
        assert found.status == "READY"


async def test_a_policy_is_chosen_and_looked_into_at_once(
    yard: Yard, asked: list[tuple[UUID, Notice, dict[str, str]]]
) -> None:
    row, wish = await serving(yard, name="my-agent")
    await account(yard.parts, wish, a_loss(wish))
    for policy, state in (("report", "repairing"), ("paused", "paused"), ("repair", "reported")):
        told = await yard.ok("PATCH", path(row), json={"policy": policy})
        assert (told["policy"], told["state"]) == (policy, state)
        assert told == {**await yard.ok("GET", path(row)), "score": told["score"]}
    assert [(found, notice.by) for found, notice, _ in asked] == [(row.id, Finder.PERSON)] * 3
    assert asked[0][2] == {"plane": PLANE, "workspace": "default", "name": "my-agent"}
    await yard.ok("PATCH", path(row), json={"policy": "repair"})
    assert len(asked) == 3, "nothing changed, so nobody has to look"
    events = (await yard.ok("GET", f"/v2/deployments/{row.id}/events", params={"limit": 100}))["resources"]
    chosen = [(one["before"], one["after"]) for one in events if one["message"].startswith("Drift policy")]
    assert chosen == [("repair", "report"), ("report", "paused"), ("paused", "repair")]


@pytest.mark.parametrize("body", [{"policy": "ignore"}, {"policy": None}, {}, {"policy": ["repair"]}, []])
async def test_a_policy_nobody_knows_is_refused(yard: Yard, body: Any) -> None:
    row, _ = await serving(yard)
    answer = await yard.client.patch(path(row), json=body)
    assert answer.status_code == 422
    if body == {"policy": "ignore"}:
        (entry,) = answer.json()["detail"]
        assert entry["loc"] == ["body", "policy"]
        assert entry["msg"] == "Input should be 'repair', 'report' or 'paused'"
    assert (await yard.ok("GET", path(row)))["policy"] == "repair"


async def test_a_person_asks_for_a_look(yard: Yard, asked: list[tuple[UUID, Notice, dict[str, str]]]) -> None:
    row, _ = await serving(yard)
    before = now()
    await yard.ok("POST", f"{path(row)}/look", 202)
    ((deployment_id, notice, _),) = asked
    assert (deployment_id, notice.by) == (row.id, Finder.PERSON)
    assert before <= notice.at <= now()
    await yard.ok("PATCH", path(row), json={"policy": "paused"})
    assert "'paused'" in await yard.refused("POST", f"{path(row)}/look", 409)
    assert len(asked) == 2


async def test_a_look_that_nobody_heard_of_is_not_promised(yard: Yard) -> None:
    """A policy is on record and is heeded later; a look is not."""
    row, _ = await serving(yard)
    answer = await yard.client.post(f"{path(row)}/look")
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert (await yard.ok("PATCH", path(row), json={"policy": "report"}))["policy"] == "report"


async def test_who_is_going_away_takes_no_wishes(yard: Yard) -> None:
    row, _ = await serving(yard)
    await yard.ok("DELETE", f"/v2/deployments/{row.id}", 204)
    await yard.ok("GET", path(row))
    await yard.refused("PATCH", path(row), 409, json={"policy": "report"})
    await yard.refused("POST", f"{path(row)}/look", 409)


async def test_others_and_nobodys(yard: Yard, admit: Admit) -> None:
    row, _ = await serving(yard)
    _, key = await admit(yard.parts, "other")
    for client, target in (
        (speaking(yard.app, key), row.id),
        (speaking(yard.app, yard.api_key), uuid4()),
    ):
        async with client:
            for method, tail in (("GET", ""), ("PATCH", ""), ("POST", "/look")):
                answer = await client.request(
                    method, f"/v2/deployments/{target}/drift{tail}", json={"policy": "paused"}
                )
                assert answer.status_code == 404
                assert answer.json()["detail"] == f"Deployment ID {target} not found."
    assert (await yard.ok("GET", path(row)))["policy"] == "repair"
    assert (await speaking(yard.app, "").get(path(row))).status_code == 401
