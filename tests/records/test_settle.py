"""What workflows are told a deployment should be, from every constellation of its rows."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from records import deployment, drift, image, inventory, plane, settle, upload, wish
from records.base import now
from records.deployment import Deployment
from records.revision import Revision
from records.specification import Change, Environment
from tests.rows import (
    PLANE,
    a_deployment,
    a_revision,
    an_image,
    claimed,
    ended,
    wish_of,
    with_image,
)
from workflows.causes import Code
from workflows.pods import Resources, SecretReference
from workflows.shapes import (
    Flavour,
    PlaneKind,
    Policy,
    RevisionStatus,
    SourceKind,
)
from workflows.surveys import Beat

Step = Callable[[AsyncSession, Revision], Awaitable[Any]]


async def failed(session: AsyncSession, row: Revision) -> None:
    await ended(session, await claimed(session, row), RevisionStatus.BUILD_FAILED)


async def deployed(session: AsyncSession, row: Revision) -> None:
    await ended(session, await claimed(session, row))


async def asked_to_end(session: AsyncSession, row: Revision) -> None:
    await wish.interrupt(session, row.deployment_id, row.id)


async def in_flight_and_asked_to_end(session: AsyncSession, row: Revision) -> None:
    await asked_to_end(session, await claimed(session, row))


async def waiting(session: AsyncSession, row: Revision) -> None:
    """Nobody took it on yet."""


WANTED: list[tuple[str, list[Step], int | None]] = [
    ("no revision", [], None),
    ("one that waits", [waiting], 1),
    ("the newest of three", [waiting, waiting, waiting], 3),
    ("in flight", [claimed], 1),
    ("in flight, and a newer one waits", [claimed, waiting], 2),
    ("deployed", [deployed], None),
    ("failed", [failed], None),
    ("deployed, and a newer one waits", [deployed, waiting], 2),
    ("the newest ended before it began: the one before goes on", [claimed, asked_to_end], 1),
    ("the only one ended before it began", [asked_to_end], None),
    ("in flight and asked to end", [in_flight_and_asked_to_end], None),
    ("asked to end in flight, and a newer one waits", [in_flight_and_asked_to_end, waiting], 2),
    ("the newest failed: the one it overtook does not come back", [claimed, failed], None),
    ("the newest was interrupted in flight: nor then", [claimed, in_flight_and_asked_to_end], None),
]


@pytest.mark.parametrize(("steps", "number"), [case[1:] for case in WANTED], ids=[case[0] for case in WANTED])
async def test_the_newest_wish_wins(session: AsyncSession, steps: list[Step], number: int | None) -> None:
    owner = await a_deployment(session)
    for step in steps:
        await step(session, await wish.add(session, owner.id, Change()))
    intent = await settle.intent(session, owner.id)
    assert (intent.wanted.number if intent.wanted else None) == number
    assert (intent.deleted, intent.name, intent.plane) == (False, owner.name, PLANE)
    assert intent.workspace == str(owner.workspace_id)


async def test_an_older_one_that_a_ghost_left_open_is_not_wanted(session: AsyncSession) -> None:
    owner = await a_deployment(session)
    ghost, newer = [await wish.add(session, owner.id, Change()) for _ in range(2)]
    newer.attended_at = now()
    await ended(session, newer)
    assert not ghost.status.ended
    assert (await settle.intent(session, owner.id)).wanted is None


async def test_reading_ends_what_was_interrupted_before_it_began(session: AsyncSession) -> None:
    owner = await a_deployment(session)
    waited = await wish.add(session, owner.id, Change())
    flying = await claimed(session, await wish.add(session, owner.id, Change(environment=Environment("2"))))
    late = await wish.add(session, owner.id, Change())
    for row in (flying, late):
        await asked_to_end(session, row)
    await settle.intent(session, owner.id)
    assert waited.status is RevisionStatus.SKIPPED
    assert late.status is RevisionStatus.INTERRUPTED
    assert late.cause is not None
    assert late.cause["code"] == Code.INTERRUPTED
    assert flying.status is RevisionStatus.QUEUED


async def test_an_unknown_deployment_reads_as_deleted(session: AsyncSession) -> None:
    intent = await settle.intent(session, uuid4())
    assert (intent.deleted, intent.wanted) == (True, None)


async def test_a_wish_names_all_that_a_plane_needs(session: AsyncSession) -> None:
    owner = await a_deployment(session)
    archive = await upload.issue(session, owner.id, now())
    await upload.store(session, archive.id, size=7, sha256="abc")
    row = await a_revision(
        session,
        owner,
        upload_id=archive.id,
        environment=Environment("sealed", custom_redis=True),
        source_config={
            "resource_spec": {"min_scale": 3, "memory_mb": 512, "cpu": 1},
            "install_command": "make deps",
            "build_command": "make",
        },
        source_revision_config={"langgraph_config_path": "apps/a/langgraph.json"},
    )
    found = (await settle.intent(session, owner.id)).wanted
    assert found is not None
    assert found.archive is not None
    assert found.archive.model_dump() == {
        "upload_id": archive.id,
        "sha256": "abc",
        "size": 7,
        "config_path": "apps/a/langgraph.json",
        "install_command": "make deps",
        "build_command": "make",
    }
    assert found.model_dump(exclude={"archive"}) == {
        "deployment_id": owner.id,
        "revision_id": row.id,
        "number": 1,
        "name": owner.name,
        "source": SourceKind.INTERNAL_SOURCE,
        "image": None,
        "image_uri": None,
        "flavour": Flavour.PG,
        "replicas": 3,
        "memory_mb": 512,
        "environment": "sealed",
        "defaults": None,
        "credentials": "sealed credentials",
        "custom_postgres": False,
        "custom_redis": True,
        "resources": Resources(memory_mb=512, cpu=1).model_dump(),
        "secret_references": [],
        "hostnames": [],
        "production": True,
        "purge": False,
    }


async def test_a_wish_for_a_cluster(session: AsyncSession) -> None:
    owner = await a_deployment(
        session,
        source=SourceKind.EXTERNAL_DOCKER,
        deployment_type="dev",
        custom_url="https://Agent.Example:8443/x",
    )
    reference = {"name": "TOKEN", "secret_name": "mine", "secret_key": "token"}
    spec = {
        "cpu": 0.25,
        "cpu_limit": None,
        "max_scale": 4.0,
        "labels": {"team": "a"},
        "image_pull_secrets": [{"name": "pull"}],
        "sidecars": [{"name": "proxy", "image": "proxy:1"}],
        "queue_cpu": 2,
        "something_of_theirs": {"kept": True},
    }
    await wish.add(
        session,
        owner.id,
        Change(
            source_config={"resource_spec": spec},
            source_revision_config={"image_uri": "registry.example/agent:v1"},
            secret_references=[reference],
        ),
    )
    found = (await settle.intent(session, owner.id)).wanted
    assert found is not None
    assert (found.flavour, found.production, found.hostnames) == (Flavour.IMAGE, False, ["agent.example"])
    assert found.image_uri == "registry.example/agent:v1"
    assert found.secret_references == [SecretReference(**reference)]
    assert found.resources == Resources(
        cpu=0.2,
        max_scale=4,
        labels={"team": "a"},
        image_pull_secrets=[{"name": "pull"}],
        sidecars=[{"name": "proxy", "image": "proxy:1"}],
    )


@pytest.mark.parametrize(
    ("custom_url", "hosts"),
    [
        (None, []),
        ("https://agent.example", ["agent.example"]),
        ("http://localhost:4747/d/agent", ["localhost"]),
        ("http://10.0.0.1/agent", []),
        ("http://[::1]/agent", []),
        ("https://not_a_name.example/", []),
        (f"https://{'a' * 64}.example", []),
        (f"https://{'a.' * 127}example", []),
    ],
)
def test_what_a_custom_url_asks_for(custom_url: str | None, hosts: list[str]) -> None:
    assert settle.hostnames(custom_url) == hosts


async def test_what_kind_its_plane_is(session: AsyncSession) -> None:
    owner = await a_deployment(session, plane="east")
    assert (await settle.intent(session, owner.id)).kind is PlaneKind.LOCAL
    assert (await settle.intent(session, owner.id, {"west": PlaneKind.LOCAL})).kind is PlaneKind.LOCAL
    assert (await settle.intent(session, owner.id, {"east": PlaneKind.KUBERNETES})).kind == "kubernetes"
    await plane.beat(session, Beat(plane="east", kind=PlaneKind.KUBERNETES))
    assert (await settle.intent(session, owner.id)).kind is PlaneKind.KUBERNETES


async def test_volumes_go_too_if_that_was_asked(session: AsyncSession) -> None:
    owner = await a_deployment(session)
    await a_revision(session, owner)
    await deployment.mark_deleted(session, owner.id)
    for purge in (False, True, False):
        await deployment.mark_deleted(session, owner.id, purge=purge)
        found = (await settle.intent(session, owner.id)).wanted
        assert found is not None
        assert found.purge is owner.purge
    assert owner.purge, "asked once is asked"


async def test_an_archive_that_never_arrived_is_none(session: AsyncSession) -> None:
    owner = await a_deployment(session)
    issued = await upload.issue(session, owner.id, now())
    await wish.add(session, owner.id, Change(upload_id=issued.id))
    found = (await settle.intent(session, owner.id)).wanted
    assert found is not None
    assert found.archive is None


async def test_an_image_is_named_only_while_the_plane_has_it(session: AsyncSession) -> None:
    owner = await a_deployment(session)
    made = an_image(defaults="sealed defaults")
    row = await with_image(session, await a_revision(session, owner), made)
    found = await wish_of(session, row)
    assert (found.image, found.defaults) == (made.digest, "sealed defaults")
    await ended(session, row, RevisionStatus.DEPLOY_FAILED)
    assert made.digest not in await image.collect(session, PLANE)
    gone = await wish_of(session, await wish.add(session, owner.id, Change(environment=Environment("2"))))
    assert gone.image is None
    assert gone.archive is not None
    await image.enter(session, made, PLANE)
    again = await wish_of(session, await wish.redeploy(session, owner.id, row.id))
    assert again.image == made.digest


async def serving(session: AsyncSession, owner: Deployment, environment: Environment) -> Revision:
    row = await wish.add(session, owner.id, Change(environment=environment))
    await inventory.enter(session, await wish_of(session, row), owner.plane)
    await deployed(session, row)
    await deployment.serve(session, owner, row.key, url="http://here", image_version=None)
    return row


async def test_the_one_that_serves_is_named(session: AsyncSession) -> None:
    owner = await a_deployment(session)
    await serving(session, owner, Environment("1"))
    await wish.add(session, owner.id, Change())
    intent = await settle.intent(session, owner.id)
    assert intent.active == 1
    assert intent.wanted is not None
    assert intent.wanted.number == 2


async def test_what_serves_is_wanted_to_go_on_serving(session: AsyncSession) -> None:
    owner = await a_deployment(session)
    assert (await settle.intent(session, owner.id)).serving is None
    first = await serving(session, owner, Environment("1"))
    made = an_image(defaults="sealed defaults")
    await with_image(session, first, made)
    flying = await claimed(session, await wish.add(session, owner.id, Change(environment=Environment("2"))))
    intent = await settle.intent(session, owner.id)
    assert intent.serving == await wish_of(session, first)
    assert (intent.serving.number, intent.serving.environment) == (1, "1")
    assert (intent.serving.image, intent.serving.defaults) == (made.digest, "sealed defaults")
    await ended(session, flying, RevisionStatus.DEPLOY_FAILED)
    intent = await settle.intent(session, owner.id)
    assert intent.wanted is None
    assert intent.serving is not None
    await deployment.mark_deleted(session, owner.id)
    intent = await settle.intent(session, owner.id)
    assert (intent.serving, intent.active) == (None, 1)


async def test_the_policy_travels_along(session: AsyncSession) -> None:
    owner = await a_deployment(session)
    assert (await settle.intent(session, owner.id)).policy is Policy.REPAIR
    await drift.set_policy(session, owner.id, Policy.REPORT)
    assert (await settle.intent(session, owner.id)).policy is Policy.REPORT


REMOVED = [
    ("ours, then its own", [Environment("1"), Environment("2", custom_postgres=True)], False),
    ("always its own", [Environment("1", custom_postgres=True)], True),
    ("ours, then none at all", [Environment("1"), Environment("2", Flavour.INMEM)], False),
]


@pytest.mark.parametrize(
    ("history", "custom"), [case[1:] for case in REMOVED], ids=[case[0] for case in REMOVED]
)
async def test_a_removal_looks_for_all_that_was_ever_made(
    session: AsyncSession, history: list[Environment], custom: bool
) -> None:
    owner = await a_deployment(session)
    for environment in history:
        await serving(session, owner, environment)
    await deployment.mark_deleted(session, owner.id)
    intent = await settle.intent(session, owner.id)
    assert intent.deleted
    assert intent.wanted is not None
    assert (intent.wanted.custom_postgres, intent.wanted.flavour) == (custom, Flavour.PG)


async def test_a_removal_of_what_never_had_a_revision(session: AsyncSession) -> None:
    owner = await a_deployment(session)
    await deployment.mark_deleted(session, owner.id)
    intent = await settle.intent(session, owner.id)
    assert (intent.deleted, intent.wanted, intent.name) == (True, None, owner.name)
