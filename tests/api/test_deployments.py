"""Deployments through the door: create, look up, change, delete."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import select

from api.parts import Parts
from api.resources import KNOWN
from records import deployment, revision
from records.deployment import Deployment
from records.revision import Revision
from records.upload import Upload
from tests.api.conftest import Yard, built, image, speaking
from workflows.shapes import Flavour, RevisionStatus

LIST = "/v2/deployments"
Admit = Callable[[Parts, str], Awaitable[tuple[str, str]]]


async def test_a_built_deployment_starts_without_a_revision(yard: Yard) -> None:
    made = await yard.create("agent", secrets=[{"name": "A", "value": "1"}, {"name": "EMPTY", "value": ""}])
    assert made["tenant_id"] == yard.workspace_id
    assert made["status"] == "AWAITING_DATABASE"
    assert made["latest_revision_id"] is made["active_revision_id"] is made["url"] is None
    assert made["source_config"]["deployment_type"] == "dev_zero"
    assert made["source_config"]["resource_spec"] is None
    assert made["secrets"] == [{"name": "A", "value": "1"}, {"name": "EMPTY", "value": ""}]
    assert made == await yard.ok("GET", f"{LIST}/{made['id']}")
    assert made["created_at"].endswith("Z")


async def test_an_image_starts_with_a_revision_and_a_whole_spec(yard: Yard) -> None:
    config = {
        "resource_spec": {"min_scale": 3, "mystery": {"deep": [1]}},
        "custom_url": "https://a.example/x",
    }
    made = await yard.ok("POST", LIST, 201, json=image("agent", source_config=config))
    assert made["latest_revision_id"]
    spec = made["source_config"]["resource_spec"]
    assert set(KNOWN) <= set(spec)
    assert (spec["min_scale"], spec["max_scale"], spec["cpu"], spec["memory_mb"]) == (3, 3, 1, 2048)
    assert spec["mystery"] == {"deep": [1]}
    assert made["source_config"]["custom_url"] == "https://a.example/x"
    assert made["source_config"]["deployment_type"] == "prod"
    assert made["secret_references"] is None
    revision_ = await yard.ok("GET", f"{LIST}/{made['id']}/revisions/{made['latest_revision_id']}")
    assert revision_["source_revision_config"]["image_uri"] == "registry.example/agent:v1"
    assert revision_["status"] == "CREATING"


async def test_the_passwords_are_made_and_sealed(yard: Yard) -> None:
    made = await yard.create("agent")
    async with yard.parts.sessions() as session:
        row = (await session.scalars(select(Deployment))).one()
    assert row.plane == "local"
    passwords = yard.parts.keyring.open_map(row.credentials, made["id"])
    assert set(passwords) == {"postgres", "redis"}
    assert min(len(word) for word in passwords.values()) >= 24
    assert passwords["postgres"] not in row.credentials


async def test_variables_are_sealed_and_their_flavour_is_read(yard: Yard) -> None:
    secrets = [{"name": "GRAPHYARD_SERVER", "value": "inmem"}, {"name": "TOKEN", "value": "marker-4711"}]
    secrets.append({"name": "REDIS_URI_CUSTOM", "value": "redis://elsewhere:6379/0"})
    await yard.create("agent", secrets=secrets)
    async with yard.parts.sessions() as session:
        row = (await session.scalars(select(Deployment))).one()
    assert row.flavour is Flavour.INMEM
    assert (row.custom_postgres, row.custom_redis) == (False, True)
    assert "marker-4711" not in row.environment


async def test_path_port_and_mount_prefix_may_be_set(yard: Yard) -> None:
    names = ("PATH", "PORT", "MOUNT_PREFIX", "LANGSMITH_API_KEY", "LANGSMITH_ENDPOINT", "LSD_ENV")
    made = await yard.create("agent", secrets=[{"name": name, "value": "x"} for name in names])
    assert [entry["name"] for entry in made["secrets"]] == list(names)


async def test_of_two_at_once_with_one_name_one_wins(yard: Yard) -> None:
    answers = await asyncio.gather(*(yard.client.post(LIST, json=built("same")) for _ in range(5)))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 4}
    assert len((await yard.ok("GET", LIST))["resources"]) == 1


async def test_the_list_is_newest_first_and_an_exact_name_before_all(yard: Yard) -> None:
    for name in ("chat", "chat-one", "other", "chat-two"):
        await yard.create(name)

    async def found(**params: Any) -> list[str]:
        return [row["name"] for row in (await yard.ok("GET", LIST, params=params))["resources"]]

    assert await found() == ["chat-two", "other", "chat-one", "chat"]
    assert await found(name_contains="chat") == ["chat", "chat-two", "chat-one"]
    assert await found(name_contains="chat", limit=1) == ["chat"]
    assert await found(name_contains="") == ["chat-two", "other", "chat-one", "chat"]
    assert await found(name="chat", name_contains="chat") == ["chat"]
    assert await found(name="cha") == []
    assert await found(name_contains="%") == await found(name_contains="_") == []
    assert await found(status="READY") == []
    assert await found(deployment_type="dev") == []
    assert await found(deployment_ids="") == await found()
    assert await found(tag_value_ids="8c1e6b1e-0000-4000-8000-000000000000") == []
    page = await yard.ok("GET", LIST, params={"limit": 3, "offset": 2})
    assert [row["name"] for row in page["resources"]] == ["chat-one", "chat"]
    assert page["offset"] == 4


async def test_a_workspace_sees_only_its_own(yard: Yard, admit: Admit) -> None:
    made = await yard.create("mine")
    workspace_id, key = await admit(yard.parts, "other")
    async with speaking(yard.app, key) as stranger:
        assert (await stranger.get(LIST)).json()["resources"] == []
        for method, path in (
            ("GET", f"{LIST}/{made['id']}"),
            ("PATCH", f"{LIST}/{made['id']}"),
            ("DELETE", f"{LIST}/{made['id']}"),
            ("POST", f"{LIST}/{made['id']}/upload-url"),
            ("POST", f"{LIST}/{made['id']}/push-token"),
            ("GET", f"{LIST}/{made['id']}/revisions"),
            ("POST", f"{LIST}/{made['id']}/revisions"),
            ("GET", f"{LIST}/{made['id']}/events"),
        ):
            body = {"display_name": "x"} if method in ("PATCH", "POST") else None
            assert (await stranger.request(method, path, json=body)).status_code == 404, path
        theirs = (await stranger.post(LIST, json=built("mine"))).json()
        assert theirs["tenant_id"] == workspace_id
        several = await stranger.delete(LIST, params={"deployment_ids": [made["id"], theirs["id"]]})
        assert several.status_code == 207
        assert several.json()["deleted"] == [theirs["id"]]
        assert [failed["id"] for failed in several.json()["failed"]] == [made["id"]]
    assert (await yard.ok("GET", f"{LIST}/{made['id']}"))["status"] == "AWAITING_DATABASE"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"display_name": "New"},
        {"display_name": None, "secrets": None, "source_config": None, "source_revision_config": None},
        {"secrets": [], "source_revision_config": {}},
        {"source_config": {"custom_url": "https://b.example", "build_on_push": False}},
        {"source_config": {"resource_spec": None, "install_command": None}},
        {"route_through_gateway": True, "name": "agent", "source": "internal_source"},
        {"tracked_packages": ["langgraph:1.0"]},
    ],
)
async def test_what_makes_no_revision(yard: Yard, body: dict[str, Any]) -> None:
    made = await yard.create("agent", secrets=[{"name": "A", "value": "1"}])
    before = await yard.push(made["id"])
    after = await yard.ok("PATCH", f"{LIST}/{made['id']}", json=body)
    assert after["latest_revision_id"] == before["latest_revision_id"]
    assert after["secrets"] == [{"name": "A", "value": "1"}]
    assert len((await yard.ok("GET", f"{LIST}/{made['id']}/revisions"))["resources"]) == 1


@pytest.mark.parametrize(
    "body",
    [
        {"secrets": [{"name": "B", "value": "2"}]},
        {"source_config": {"resource_spec": {}}},
        {"source_config": {"resource_spec": {"min_scale": 2}}},
        {"source_config": {"install_command": "make"}},
        {"source_config": {"build_command": ""}},
        {"source_revision_config": {"langgraph_config_path": "apps/langgraph.json"}},
    ],
)
async def test_what_makes_exactly_one_revision(yard: Yard, body: dict[str, Any]) -> None:
    made = await yard.create("agent")
    before = await yard.push(made["id"])
    after = await yard.ok("PATCH", f"{LIST}/{made['id']}", json=body)
    listed = (await yard.ok("GET", f"{LIST}/{made['id']}/revisions"))["resources"]
    assert [row["id"] for row in listed] == [after["latest_revision_id"], before["latest_revision_id"]]
    assert [row["number"] for row in listed] == [2, 1]
    for field in ("source_tarball_path", "langgraph_config_path"):
        kept = before["source_revision_config"][field]
        assert after["source_revision_config"][field] == (
            body.get("source_revision_config", {}).get(field) or kept
        )


async def test_secrets_replace_the_whole_map(yard: Yard) -> None:
    made = await yard.create("agent", secrets=[{"name": "A", "value": "1"}])
    assert (await yard.push(made["id"]))["secrets"] == [{"name": "A", "value": "1"}]
    after = await yard.ok("PATCH", f"{LIST}/{made['id']}", json={"secrets": [{"name": "B", "value": "2"}]})
    assert after["secrets"] == [{"name": "B", "value": "2"}]


async def test_what_is_set_before_the_first_archive_is_kept_for_it(yard: Yard) -> None:
    made = await yard.create("agent")
    path = f"{LIST}/{made['id']}"
    after = await yard.ok("PATCH", path, json={"secrets": [{"name": "A", "value": "1"}]})
    after = await yard.ok("PATCH", path, json={"source_config": {"resource_spec": {"min_scale": 2}}})
    assert after["latest_revision_id"] is None
    pushed = await yard.push(made["id"])
    assert pushed["secrets"] == [{"name": "A", "value": "1"}]
    assert pushed["source_config"]["resource_spec"] == {"min_scale": 2}
    async with yard.parts.sessions() as session:
        row = (await session.scalars(select(Revision))).one()
    assert row.source_config == {"resource_spec": {"min_scale": 2}}
    assert yard.parts.keyring.open_map(row.environment, made["id"]) == {"A": "1"}


async def test_a_database_of_ones_own_stays(yard: Yard) -> None:
    custom = {"name": "POSTGRES_URI_CUSTOM", "value": "postgres://u:p@db.example/x"}
    made = await yard.create("agent", secrets=[custom])
    await yard.push(made["id"])
    body = {"secrets": [{"name": "A", "value": "1"}]}
    said = await yard.refused("PATCH", f"{LIST}/{made['id']}", 400, json=body)
    assert "'POSTGRES_URI_CUSTOM' was set and must stay set" in said
    other = {"name": "POSTGRES_URI_CUSTOM", "value": "postgresql://u:q@db.example/y"}
    await yard.ok("PATCH", f"{LIST}/{made['id']}", json={"secrets": [other]})


async def test_the_in_memory_server_takes_one_replica_whatever_is_set_first(yard: Yard) -> None:
    made = await yard.create("agent", secrets=[{"name": "GRAPHYARD_SERVER", "value": "inmem"}])
    await yard.push(made["id"])
    body = {"source_config": {"resource_spec": {"min_scale": 2}}}
    assert "inmem" in await yard.refused("PATCH", f"{LIST}/{made['id']}", 400, json=body)


async def test_our_url_shows_once_it_is_deployed_and_yields_to_a_custom_one(yard: Yard) -> None:
    made = await yard.create("agent")
    pushed = await yard.push(made["id"])
    ours = "http://yard.test/d/agent-x"
    async with yard.parts.sessions.begin() as session:
        row = await deployment.lock(session, pushed["id"])
        newest = await revision.newest(session, pushed["id"])
        assert row
        assert newest
        await deployment.serve(session, row, newest.key, url=ours, image_version="0.11")
    shown = await yard.ok("GET", f"{LIST}/{made['id']}")
    assert shown["url"] == shown["source_config"]["custom_url"] == ours
    assert (shown["status"], shown["active_revision_id"]) == ("READY", pushed["latest_revision_id"])
    assert [row["id"] for row in (await yard.ok("GET", LIST, params={"url": ours}))["resources"]] == [
        made["id"]
    ]
    body = {"source_config": {"custom_url": "https://me.example/agent"}}
    shown = await yard.ok("PATCH", f"{LIST}/{made['id']}", json=body)
    assert shown["url"] == ours
    assert shown["source_config"]["custom_url"] == "https://me.example/agent"


async def test_delete_frees_the_name_at_once_and_answers_until_all_is_gone(yard: Yard) -> None:
    made = await yard.create("agent")
    path = f"{LIST}/{made['id']}"
    await yard.ok("DELETE", path, 204)
    await yard.ok("DELETE", path, 204)
    assert (await yard.ok("GET", path))["status"] == "AWAITING_DELETE"
    assert (await yard.ok("GET", LIST))["resources"] == []
    assert (await yard.create("agent"))["id"] != made["id"]
    for method, tail in (("PATCH", ""), ("POST", "/revisions"), ("POST", "/upload-url")):
        assert "is being deleted" in await yard.refused(method, path + tail, 409, json={})


async def test_force_forgets_what_is_being_deleted(yard: Yard) -> None:
    made = await yard.create("agent")
    await yard.push(made["id"])
    path = f"{LIST}/{made['id']}"
    await yard.ok("DELETE", path, 204)
    await yard.ok("DELETE", f"{path}?force=true", 204)
    await yard.refused("GET", path, 404)
    async with yard.parts.sessions() as session:
        assert [(await session.scalars(select(table))).all() for table in (Revision, Upload)] == [[], []]


async def test_several_are_deleted_at_once(yard: Yard) -> None:
    ids = [(await yard.create(f"agent-{index}"))["id"] for index in range(3)]
    done = await yard.ok("DELETE", LIST, params={"deployment_ids": [*ids, ids[0]]})
    assert done == {"deleted": ids, "failed": []}
    assert (await yard.ok("GET", LIST))["resources"] == []


async def test_revisions_made_at_once_are_numbered_without_gaps(yard: Yard) -> None:
    made = await yard.ok("POST", LIST, 201, json=image("agent"))
    body = {"source_revision_config": {"image_uri": "registry.example/agent:v2"}}
    path = f"{LIST}/{made['id']}"
    answers = await asyncio.gather(*(yard.client.patch(path, json=body) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    listed = (await yard.ok("GET", f"{path}/revisions"))["resources"]
    assert [row["number"] for row in listed] == list(range(9, 0, -1))
    assert listed[0]["status"] == RevisionStatus.CREATING
