"""Revisions through the door: made, made again, given up; and what is taken over from one to the next."""

from uuid import UUID

from sqlalchemy import select

from records import image as images
from records import revision
from records.revision import Revision
from tests.api.conftest import ARCHIVE, Yard, image
from tests.rows import an_image
from workflows.causes import Cause, Code
from workflows.shapes import RevisionStatus

LIST = "/v2/deployments"


async def _pushed(yard: Yard) -> tuple[str, str]:
    made = await yard.create("agent", secrets=[{"name": "A", "value": "1"}])
    pushed = await yard.push(made["id"])
    return f"{LIST}/{made['id']}", pushed["latest_revision_id"]


async def _end(yard: Yard, revision_id: str, status: RevisionStatus, cause: Cause | None = None) -> None:
    async with yard.parts.sessions.begin() as session:
        row = await session.get_one(Revision, UUID(revision_id))
        held = await revision.hold(session, row.deployment_id, row.id, row.number)
        assert held
        assert await revision.end(session, held, status, cause)


async def _built(yard: Yard, revision_id: str) -> str:
    made = an_image()
    async with yard.parts.sessions.begin() as session:
        await images.enter(session, made, "local")
        (await session.get_one(Revision, UUID(revision_id))).image_id = made.digest
    return made.digest


async def test_posting_always_makes_one(yard: Yard) -> None:
    path, first = await _pushed(yard)
    second = await yard.ok("POST", f"{path}/revisions", 201, json={})
    third = await yard.ok("POST", f"{path}/revisions", 201, json={"secrets": []})
    assert (second["number"], third["number"]) == (2, 3)
    shown = await yard.ok("GET", path)
    assert shown["latest_revision_id"] == third["id"]
    assert shown["secrets"] == [{"name": "A", "value": "1"}]
    assert third["source"] == "internal_source"
    assert (
        third["source_revision_config"]
        == (await yard.ok("GET", f"{path}/revisions/{first}"))["source_revision_config"]
    )


async def test_the_image_is_taken_over_unless_a_build_depends_on_the_change(yard: Yard) -> None:
    path, first = await _pushed(yard)
    digest = await _built(yard, first)
    changes = [
        ({"secrets": [{"name": "B", "value": "2"}]}, digest),
        ({"source_config": {"resource_spec": {"min_scale": 2}}}, digest),
        ({"source_config": {"install_command": "make install"}}, None),
    ]
    for body, expected in changes:
        made = await yard.ok("POST", f"{path}/revisions", 201, json=body)
        assert made["image"] == expected, body
    again = await yard.ok("POST", f"{path}/revisions/{first}/redeploy")
    listed = (await yard.ok("GET", f"{path}/revisions"))["resources"]
    assert listed[0]["id"] == again["latest_revision_id"]
    assert listed[0]["image"] == digest


async def test_redeploy_brings_everything_of_the_old_one_back(yard: Yard) -> None:
    path, first = await _pushed(yard)
    await yard.ok("PATCH", path, json={"secrets": [{"name": "B", "value": "2"}]})
    await yard.ok("PATCH", path, json={"source_config": {"resource_spec": {"min_scale": 2}}})
    await yard.push(path.rsplit("/", 1)[1])
    answer = await yard.ok("POST", f"{path}/revisions/{first}/redeploy")
    old = await yard.ok("GET", f"{path}/revisions/{first}")
    assert answer["secrets"] == [{"name": "A", "value": "1"}]
    assert answer["source_config"]["resource_spec"] is None
    assert answer["source_revision_config"] == old["source_revision_config"]
    listed = (await yard.ok("GET", f"{path}/revisions"))["resources"]
    assert [row["number"] for row in listed] == [5, 4, 3, 2, 1]


async def test_redeploy_does_not_take_a_database_away(yard: Yard) -> None:
    path, first = await _pushed(yard)
    await yard.ok(
        "PATCH", path, json={"secrets": [{"name": "POSTGRES_URI_CUSTOM", "value": "postgres://a/b"}]}
    )
    assert "POSTGRES_URI_CUSTOM" in await yard.refused("POST", f"{path}/revisions/{first}/redeploy", 400)


async def test_a_failure_tells_what_happened_and_what_to_do(yard: Yard) -> None:
    path, first = await _pushed(yard)
    cause = Cause(code=Code.RESOLUTION_FAILED, message="Could not resolve x.", fix="Pin x below 2.")
    await _end(yard, first, RevisionStatus.BUILD_FAILED, cause)
    shown = await yard.ok("GET", f"{path}/revisions/{first}")
    assert shown["status"] == "BUILD_FAILED"
    assert shown["status_message"] == "Could not resolve x. Pin x below 2."
    assert shown["cause"]["code"] == "ResolutionFailed"


async def test_statuses_filter(yard: Yard) -> None:
    path, first = await _pushed(yard)
    await yard.ok("POST", f"{path}/revisions", 201, json={})
    await _end(yard, first, RevisionStatus.DEPLOYED)
    for statuses, numbers in (
        ("DEPLOYED", [1]),
        ("CREATING,DEPLOYED", [2, 1]),
        ("SKIPPED", []),
        ("", [2, 1]),
    ):
        listed = await yard.ok("GET", f"{path}/revisions", params={"status": statuses})
        assert [row["number"] for row in listed["resources"]] == numbers


async def test_interrupt_is_asked_for_once_and_in_two_spellings(yard: Yard) -> None:
    path, first = await _pushed(yard)
    for verb in ("interrupt", "interruption", "interrupt"):
        assert (await yard.ok("POST", f"{path}/revisions/{first}/{verb}", 202))["id"] == first
    async with yard.parts.sessions() as session:
        assert (await session.scalars(select(Revision.interrupt_requested_at))).one() is not None
    kinds = [row["kind"] for row in (await yard.ok("GET", f"{path}/events"))["resources"]]
    assert kinds.count("revision.interrupt") == 1


async def test_a_revision_that_has_ended_cannot_be_interrupted(yard: Yard) -> None:
    path, first = await _pushed(yard)
    await _end(yard, first, RevisionStatus.DEPLOYED)
    assert "DEPLOYED" in await yard.refused("POST", f"{path}/revisions/{first}/interrupt", 409)


async def test_an_archive_of_another_deployment_is_refused(yard: Yard) -> None:
    path, _ = await _pushed(yard)
    other = await yard.create("other")
    foreign = await yard.upload(other["id"], ARCHIVE)
    body = {"source_revision_config": {"source_tarball_path": foreign}}
    assert "was not issued for this deployment" in await yard.refused("PATCH", path, 400, json=body)


async def test_the_source_may_switch_between_the_two_that_the_cli_makes(yard: Yard) -> None:
    made = await yard.create("agent", source="internal_docker")
    path = f"{LIST}/{made['id']}"
    docker = {
        "revision_source": "internal_docker",
        "source_revision_config": {"image_uri": "r.example/a@sha256:0"},
    }
    first = await yard.ok("PATCH", path, json={**docker, "tracked_packages": ["google-adk:1.0.0"]})
    assert first["source_revision_config"]["tracked_packages"] == ["google-adk:1.0.0"]
    pushed = await yard.push(made["id"])
    assert pushed["source_revision_config"]["image_uri"] is None
    await yard.ok("PATCH", path, json=docker)
    listed = (await yard.ok("GET", f"{path}/revisions"))["resources"]
    assert [row["source"] for row in listed] == ["internal_docker", "internal_source", "internal_docker"]
    assert listed[0]["source_revision_config"]["source_tarball_path"] is None
    said = await yard.refused(
        "PATCH",
        path,
        400,
        json={"revision_source": "internal_source", "secrets": [{"name": "A", "value": ""}]},
    )
    assert "source_tarball_path is required" in said


async def test_references_keep_their_order(yard: Yard) -> None:
    references = [{"name": name, "secret_name": "store", "secret_key": name.lower()} for name in ("Z", "Y")]
    made = await yard.ok("POST", LIST, 201, json=image("agent", secret_references=references))
    assert made["secret_references"] == references
    after = await yard.ok("PATCH", f"{LIST}/{made['id']}", json={"secret_references": []})
    assert after["secret_references"] == []
    assert after["latest_revision_id"] != made["latest_revision_id"]
