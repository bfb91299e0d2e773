"""A house with planes in clusters: where deployments go, what they may ask for there, and whose names are whose."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from api.parts import Parts
from records import plane, settle
from records.deployment import Deployment
from records.listener import Listener
from settings import Settings
from tests.api.conftest import Yard, built, image, opened, speaking
from workflows.shapes import PlaneKind
from workflows.surveys import Beat

Admit = Callable[[Parts, str], Awaitable[tuple[str, str]]]
LIST = "/v2/deployments"


@pytest.fixture
async def yard(settings: Settings, admit: Admit) -> AsyncIterator[Yard]:
    """An api whose usual plane is a cluster, with another cluster and this machine beside it."""
    kinds = {"east": PlaneKind.KUBERNETES, "west": PlaneKind.KUBERNETES, "desk": PlaneKind.LOCAL}
    several = settings.model_copy(update={"planes": kinds, "plane": "east"})
    async with opened(several) as (app, parts):
        workspace_id, secret = await admit(parts, "default")
        async with speaking(app, secret) as client:
            yield Yard(app, parts, client, workspace_id, secret)


async def placed(yard: Yard, deployment_id: str) -> str:
    async with yard.parts.sessions() as session:
        return str(await session.scalar(select(Deployment.plane).where(Deployment.id == UUID(deployment_id))))


async def ids(yard: Yard) -> dict[str, str]:
    """The listeners there are, by what they are called."""
    listed = await yard.ok("GET", "/v2/listeners")
    return {one["compute_id"]: one["id"] for one in listed["resources"]}


async def test_clusters_are_listeners(yard: Yard, admit: Admit) -> None:
    known = await ids(yard)
    assert list(known) == ["east", "west"], "this machine is none"
    async with yard.parts.sessions.begin() as session:
        await plane.beat(session, Beat(plane="west", kind=PlaneKind.KUBERNETES, version="0.3.0"))
        await plane.beat(session, Beat(plane="north", kind=PlaneKind.KUBERNETES))
        await plane.beat(session, Beat(plane=str(uuid4()), kind=PlaneKind.KUBERNETES))
    again = await ids(yard)
    assert list(again) == ["east", "north", "west"], (
        "one that is heard of counts; another workspace's does not"
    )
    assert again.items() >= known.items()
    west = await yard.ok("GET", f"/v2/listeners/{known['west']}")
    assert (west["version"], west["compute_type"]) == ("0.3.0", "k8s")
    assert west["compute_config"] == {"k8s_namespaces": None}
    page = await yard.ok("GET", "/v2/listeners?limit=1&offset=1")
    assert ([one["compute_id"] for one in page["resources"]], page["offset"]) == (["north"], 2)
    _, key = await admit(yard.parts, "other")
    async with speaking(yard.app, key) as other:
        theirs = (await other.get("/v2/listeners")).json()["resources"]
        assert {one["compute_id"]: one["id"] for one in theirs}.keys() == again.keys()
        assert not {one["id"] for one in theirs} & set(again.values())
        assert (await other.get(f"/v2/listeners/{known['west']}")).status_code == 404
    assert "settings" in await yard.refused("POST", "/v2/listeners", 403, json={})


async def test_a_deployment_goes_where_it_says(yard: Yard) -> None:
    known = await ids(yard)
    usual = await yard.create("usual")
    assert await placed(yard, usual["id"]) == "east"
    for body in (image("there"), built("there-too")):
        body["source_config"]["listener_id"] = known["west"]
        made = await yard.ok("POST", LIST, 201, json=body)
        assert await placed(yard, made["id"]) == "west"
        assert made["source_config"]["listener_id"] == known["west"]
    lost = image("lost", source_config={"resource_spec": {}, "listener_id": str(uuid4())})
    assert "Listener ID" in await yard.refused("POST", LIST, 404, json=lost)
    told = await yard.ok("GET", f"/v2/listeners/{known['west']}/drift")
    assert (told["name"], told["status"]) == ("west", "unknown")
    assert (await yard.ok("GET", "/v2/listeners/west/drift"))["name"] == "west"


async def test_a_listener_of_the_workspace_s_own_must_be_named(yard: Yard) -> None:
    row = Listener(
        workspace_id=UUID(yard.workspace_id), compute_type="k8s", compute_id="c", compute_config={}
    )
    async with yard.parts.sessions.begin() as session:
        session.add(row)
    said = await yard.refused("POST", LIST, 400, json=image("agent"))
    assert "'source_config.listener_id' is required" in said
    assert str(row.id) in said
    body = image("agent", source_config={"resource_spec": {}, "listener_id": str(row.id)})
    made = await yard.ok("POST", LIST, 201, json=body)
    assert await placed(yard, made["id"]) == str(row.id)


async def test_a_cluster_takes_a_whole_spec(yard: Yard) -> None:
    spec = {
        "min_scale": 12,
        "labels": {"team.example/name": "a"},
        "annotations": {
            "note": "any text: 100 %",
            "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
        },
        "service_account_name": "agents",
        "image_pull_secrets": [{"name": "pull"}],
        "volumes": [
            {"name": "cache", "emptyDir": {}},
            {"name": "certificates", "secret": {"secretName": "corporate"}},
        ],
        "volume_mounts": [{"name": "cache", "mountPath": "/cache"}],
        "init_containers": [{"name": "warm", "image": "warm:1", "volumeMounts": [MOUNT]}],
        "sidecars": [{"name": "proxy", "image": "proxy:1", "securityContext": {"runAsUser": 1000}}],
        "theirs": {"kept": True},
    }
    references = [{"name": "TOKEN", "secret_name": "mine", "secret_key": "token"}]
    made = await yard.create("agent", source_config={"resource_spec": spec}, secret_references=references)
    assert made["source_config"]["resource_spec"] == spec
    await yard.push(made["id"])
    async with yard.parts.sessions.begin() as session:
        wanted = (await settle.intent(session, UUID(made["id"]), yard.parts.settings.kinds)).wanted
    assert wanted is not None
    assert (wanted.replicas, wanted.resources.service_account_name) == (12, "agents")
    assert [one.secret_name for one in wanted.secret_references] == ["mine"]


MOUNT = {"name": "cache", "mountPath": "/cache"}
PRIVILEGED = {"name": "a", "image": "a", "securityContext": {"privileged": True}}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a hundred and one": ({"min_scale": 101}, "between 1 and 100"),
    "a label of ours": ({"labels": {"graphyard.dev/plane": "x"}}, "to the platform"),
    "a label of whoever manages": ({"labels": {"app.kubernetes.io/managed-by": "x"}}, "to the platform"),
    "confinement taken away": (
        {"annotations": {"container.apparmor.security.beta.kubernetes.io/server": "unconfined"}},
        "to the platform",
    ),
    "a label too long": ({"labels": {"a": "x" * 64}}, "labels.a must be"),
    "a label with blanks": ({"labels": {"a": "x y"}}, "labels.a must be"),
    "a key that is none": ({"annotations": {"a b": "x"}}, "does not take"),
    "an account that is none": ({"service_account_name": "A_B"}, "Kubernetes name"),
    "a path of the node": ({"volumes": [{"name": "a", "hostPath": {"path": "/"}}]}, "'hostPath'"),
    "a driver's volume": ({"volumes": [{"name": "a", "csi": {"driver": "x"}}]}, "'csi'"),
    "a volume of two kinds": ({"volumes": [{"name": "a", "emptyDir": {}, "secret": {}}]}, "exactly one kind"),
    "a volume of none": ({"volumes": [{"name": "a"}]}, "exactly one kind"),
    "a volume without a name": ({"volumes": [{"emptyDir": {}}]}, "volumes[0].name"),
    "a volume twice": ({"volumes": [{"name": "a", "emptyDir": {}}] * 2}, "'a' is taken"),
    "a volume of ours": ({"volumes": [{"name": "graphyard-tmp", "emptyDir": {}}]}, "is taken"),
    "another's variables": (
        {"volumes": [{"name": "a", "secret": {"secretName": "server-0badda7a-3-abcdef0123"}}]},
        "belongs to the platform",
    ),
    "another's password": (
        {
            "volumes": [
                {"name": "a", "projected": {"sources": [{"secret": {"name": "redis-0badda7a"}}]}},
            ]
        },
        "belongs to the platform",
    ),
    "another's disk": (
        {"volumes": [{"name": "a", "persistentVolumeClaim": {"claimName": "data-postgres-0badda7a-0"}}]},
        "belongs to the platform",
    ),
    "another's variables, one by one": (
        {
            "sidecars": [
                {
                    "name": "a",
                    "image": "a",
                    "env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "postgres-0badda7a"}}}],
                }
            ]
        },
        "belongs to the platform",
    ),
    "a mount of nothing": ({"volume_mounts": [MOUNT]}, "one of resource_spec.volumes"),
    "a mount over all": (
        {"volumes": [{"name": "a", "emptyDir": {}}], "volume_mounts": [{"name": "a", "mountPath": "/"}]},
        "absolute path",
    ),
    "a sidecar called server": ({"sidecars": [{"name": "server", "image": "x"}]}, "'server' is taken"),
    "two of one name": (
        {"sidecars": [{"name": "a", "image": "x"}], "init_containers": [{"name": "a", "image": "x"}]},
        "'a' is taken",
    ),
    "a sidecar of nothing": ({"sidecars": [{"name": "a"}]}, "sidecars[0].image is required"),
    "the server's port": (
        {"sidecars": [{"name": "a", "image": "a", "ports": [{"containerPort": 8000}]}]},
        "the server's own",
    ),
    "a port of the node": (
        {"sidecars": [{"name": "a", "image": "a", "ports": [{"containerPort": 1, "hostPort": 1}]}]},
        "hostPort leads out",
    ),
    "more than ours may": ({"sidecars": [PRIVILEGED]}, "securityContext.privileged is not allowed"),
    "a capability": (
        {
            "init_containers": [
                {"name": "a", "image": "a", "securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}
            ]
        },
        "may only drop",
    ),
    "root": ({"sidecars": [{"name": "a", "image": "a", "securityContext": {"runAsUser": 0}}]}, "for root"),
    "too many": ({"sidecars": [{"name": f"a{n}", "image": "a"} for n in range(21)]}, "20 is the most"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_leads_out_of_the_pod_is_refused_at_the_door(yard: Yard, case: str) -> None:
    spec, word = REFUSED[case]
    said = await yard.refused("POST", LIST, 400, json=built("agent", source_config={"resource_spec": spec}))
    assert said.startswith("Source configuration error: source_config.resource_spec")
    assert word in said


async def test_an_installation_may_trust_whoever_deploys(settings: Settings, admit: Admit) -> None:
    trusting = settings.model_copy(update={"plane_kind": PlaneKind.KUBERNETES, "privileged_pods": True})
    async with opened(trusting) as (app, parts):
        workspace_id, secret = await admit(parts, "default")
        async with speaking(app, secret) as client:
            yard = Yard(app, parts, client, workspace_id, secret)
            spec = {"sidecars": [PRIVILEGED], "volumes": [{"name": "a", "hostPath": {"path": "/var/log"}}]}
            await yard.create("agent", source_config={"resource_spec": spec})
            spec = {"volumes": [{"name": "a", "secret": {"secretName": "redis-0badda7a"}}]}
            body = built("other", source_config={"resource_spec": spec})
            assert "belongs to the platform" in await yard.refused("POST", LIST, 400, json=body)


async def test_a_secret_of_the_platform_is_no_variable(yard: Yard) -> None:
    references = [{"name": "A", "secret_name": "redis-0badda7a", "secret_key": "password"}]
    said = await yard.refused("POST", LIST, 400, json=image("agent", secret_references=references))
    assert "belongs to the platform" in said


async def test_this_machine_is_as_it_was(yard: Yard) -> None:
    async with yard.parts.sessions.begin() as session:
        made = await yard.create("agent")
        row = await session.get(Deployment, UUID(made["id"]))
        assert row is not None
        row.plane = "desk"
    for change, word in (
        ({"source_config": {"resource_spec": {"min_scale": 5}}}, "between 1 and 4"),
        ({"secret_references": [{"name": "A", "secret_name": "b", "secret_key": "c"}]}, "secret_references"),
    ):
        assert word in await yard.refused("PATCH", f"{LIST}/{made['id']}", 400, json=change)


async def test_a_hostname_is_one_deployment_s(yard: Yard) -> None:
    first = await yard.create("first", source_config={"custom_url": "https://Agent.Example/"})
    other = await yard.create("other")

    async def asked(deployment_id: str, url: str, status: int = 200) -> str:
        body = {"source_config": {"custom_url": url}}
        answer = await yard.client.patch(f"{LIST}/{deployment_id}", json=body)
        assert answer.status_code == status, answer.text
        return str(answer.json().get("detail"))

    assert "another deployment" in await asked(other["id"], "http://agent.example:8080/x", 409)
    assert "another deployment" in await yard.refused(
        "POST", LIST, 409, json=built("third", source_config={"custom_url": "https://agent.example"})
    )
    assert "this installation's own" in await asked(other["id"], "https://yard.test/d/other", 400)
    await asked(first["id"], "https://agent.example/")
    await asked(other["id"], "https://my-agent.example")
    await asked(first["id"], "https://first.example")
    await asked(other["id"], "https://agent.example")
    await yard.ok("DELETE", f"{LIST}/{first['id']}", 204)
    await asked(other["id"], "https://first.example")


async def test_another_hostname_has_the_plane_looked_at(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[UUID] = []

    async def inspect(deployment_id: UUID, *_: object, **__: object) -> bool:
        looked.append(deployment_id)
        return True

    monkeypatch.setattr(yard.parts.nudger, "inspect", inspect)
    made = await yard.create("agent")
    own = UUID(made["id"])

    async def patched(url: str) -> Any:
        body = {"source_config": {"custom_url": url}}
        return await yard.ok("PATCH", f"{LIST}/{made['id']}", json=body)

    await patched("https://agent.example")
    assert looked == [], "there is no door yet"
    async with yard.parts.sessions.begin() as session:
        row = await session.get(Deployment, own)
        assert row is not None
        row.active_revision_id = uuid4()
    await patched("https://agent.example")
    assert looked == [], "it is as it was"
    moved = await patched("https://other.example")
    assert looked == [own]
    assert moved["latest_revision_id"] is None, "no revision is made for it"


async def test_volumes_go_too_if_that_is_asked(yard: Yard) -> None:
    for name, query, purged in (("kept", "", False), ("purged", "?purge=true", True)):
        made = await yard.create(name)
        await yard.ok("DELETE", f"{LIST}/{made['id']}{query}", 204)
        async with yard.parts.sessions() as session:
            row = await session.get(Deployment, UUID(made["id"]))
            assert row is not None
            assert row.purge is purged
