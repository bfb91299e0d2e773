"""Bad input, case by case: a refusal whose sentence names the thing, and nothing written.

`{built}` is a deployment without an upload, `{image}` one of an external image, `{ticket}` an address that
was given out and not used, `{gone}` nobody's id.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.api.conftest import Yard, built, image

DEPLOYMENTS = "/v2/deployments"
BIG = 300_000


@dataclass(frozen=True)
class Case:
    """One request that cannot be granted."""

    id: str
    method: str
    path: str
    status: int
    says: str
    json: Any = None
    content: bytes | None = None
    headers: dict[str, str] | None = None


def create(case: str, status: int, says: str, body: Any) -> Case:
    return Case(case, "POST", DEPLOYMENTS, status, says, json=body)


def named(name: Any, says: str, status: int = 400) -> Case:
    return create(f"name {str(name)[:20]!r}", status, says, built(name))


def secrets(case: str, says: str, entries: Any, status: int = 400) -> Case:
    return create(f"secrets: {case}", status, says, built("agent", secrets=entries))


def spec(case: str, says: str, value: Any, status: int = 400) -> Case:
    body = built("agent", source_config={"resource_spec": value})
    return create(f"resource_spec: {case}", status, says, body)


def patch(case: str, status: int, says: str, body: Any, of: str = "built") -> Case:
    return Case(f"patch: {case}", "PATCH", f"{DEPLOYMENTS}/{{{of}}}", status, says, json=body)


def entry(name: str, value: Any = "x") -> dict[str, Any]:
    return {"name": name, "value": value}


def without(body: dict[str, Any], field: str) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key != field}


GITHUB = {
    "source": "github",
    "source_config": {"integration_id": str(uuid4()), "repo_url": "https://github.com/example/agent"},
}

BODIES = [
    Case("no json", "POST", DEPLOYMENTS, 422, "JSON", content=b"{nope"),
    Case("a list", "POST", DEPLOYMENTS, 422, "dictionary", json=[]),
    Case("text", "POST", DEPLOYMENTS, 422, "dictionary", json="agent"),
    Case("no body", "POST", DEPLOYMENTS, 422, "Field required"),
    Case("too deep", "POST", DEPLOYMENTS, 400, "pars", content=b'{"name":' + b"[" * 100_000),
    Case("too large", "POST", DEPLOYMENTS, 413, "too large", content=b'{"name":"' + b"a" * (5 << 20) + b'"}'),
    Case("bad utf-8", "POST", DEPLOYMENTS, 400, "pars", content=b'{"name":"\xff"}'),
    create("empty", 422, "source", {}),
    create("no secrets", 422, "secrets", without(built("agent"), "secrets")),
    create("null secrets", 422, "secrets", built("agent", secrets=None)),
    create("no name", 422, "name", without(built("agent"), "name")),
    create("unknown source", 422, "source", built("agent", source="floppy")),
    create("source_config is a list", 422, "source_config", built("agent", source_config=[])),
    create("unknown type", 422, "deployment_type", built("agent", source_config={"deployment_type": "big"})),
    create("an agent", 400, "agent", {**without(built("x"), "name"), "agent": {"agent_id": "a"}}),
    create("shareable is text", 422, "shareable", built("agent", shareable="perhaps")),
    Case("half a character", "POST", DEPLOYMENTS, 422, "name", content=b'{"name":"\\ud800"}'),
    create("a NUL in a command", 422, "NUL", built("agent", source_config={"install_command": "a\0b"})),
]

NAMES = [
    named("", "name"),
    named("Under_score", "Under_score"),
    named("-lead", "-lead"),
    named("tail-", "tail-"),
    named("1st", "1st"),
    named("a b", "a b"),
    named("ünï", "ünï"),
    named("a" * 49, "48"),
    named("a/../b", "a/../b"),
    named("a\nb", "a-z"),
    named("a\0b", "NUL", 422),
    named(7, "name", 422),
    named(None, "name", 422),
]

ENVIRONMENT = [
    secrets("not a list", "secrets", {"A": "b"}, 422),
    secrets("without a value", "value", [{"name": "A"}], 422),
    secrets("a null", "value", [entry("A", None)], 422),
    secrets("a number", "value", [entry("A", 7)], 422),
    secrets("a NUL", "NUL", [entry("A", "a\0b")], 422),
    secrets("an empty name", "without a name", [entry("")]),
    secrets("twice", "'A' is given twice", [entry("A"), entry("A")]),
    secrets("a dash", "'MY-VAR'", [entry("MY-VAR")]),
    secrets("a digit first", "'1A'", [entry("1A")]),
    secrets("an equals sign", "'A=B'", [entry("A=B")]),
    secrets("a newline", "is not a variable name", [entry("A\n")]),
    secrets("reserved", "'LANGCHAIN_ENDPOINT' is reserved", [entry("LANGCHAIN_ENDPOINT")]),
    secrets("reserved database", "'POSTGRES_URI' is reserved", [entry("POSTGRES_URI")]),
    secrets("ours", "'GRAPHYARD_HOME' is reserved", [entry("GRAPHYARD_HOME")]),
    secrets("a strange server", "GRAPHYARD_SERVER", [entry("GRAPHYARD_SERVER", "quantum")]),
    secrets("not a URL", "POSTGRES_URI_CUSTOM", [entry("POSTGRES_URI_CUSTOM", "sqlite://x")]),
    secrets("not a redis URL", "REDIS_URI_CUSTOM", [entry("REDIS_URI_CUSTOM", "")]),
    secrets("too many", "501", [entry(f"A{index}") for index in range(501)]),
    secrets("too long a value", "'A' is", [entry("A", "x" * 140_000)]),
    secrets("too much in all", "262144", [entry(f"A{index}", "x" * 100_000) for index in range(3)]),
    secrets("too long a name", "256", [entry("A" * 300)]),
]

RESOURCES = [
    spec("text", "resource_spec", "large", 422),
    spec("cpu above", "resource_spec.cpu must be between 0.1 and 8", {"cpu": 99}),
    spec("cpu below", "resource_spec.cpu", {"cpu": 0}),
    spec("cpu is text", "resource_spec.cpu must be a number", {"cpu": "2"}),
    spec("cpu is a boolean", "resource_spec.cpu", {"cpu": True}),
    spec("cpu_limit above", "resource_spec.cpu_limit", {"cpu_limit": 17}),
    spec("a limit below its request", "resource_spec.cpu_limit (1)", {"cpu": 2, "cpu_limit": 1}),
    spec("memory below zero", "resource_spec.memory_mb", {"memory_mb": -1}),
    spec("half a megabyte", "resource_spec.memory_mb must be a whole", {"memory_mb": 0.5}),
    spec("no replicas", "resource_spec.min_scale", {"min_scale": 0}),
    spec("five replicas", "resource_spec.min_scale must be between 1 and 4", {"min_scale": 5}),
    spec("max below min", "resource_spec.max_scale", {"min_scale": 3, "max_scale": 2}),
    spec("queue cpu", "resource_spec.queue_cpu", {"queue_cpu": 100}),
    spec("database disk", "resource_spec.db_storage_gi", {"db_storage_gi": 0}),
    spec("labels", "resource_spec.labels", {"labels": {"team": 7}}),
    spec("pull secrets", "resource_spec.image_pull_secrets", {"image_pull_secrets": [{"name": "Not DNS"}]}),
    spec("volumes", "resource_spec.volumes", {"volumes": "all"}),
    spec("NUL in an unknown key", "NUL", {"note": "a\0b"}, 422),
    spec("too large", "resource_spec is too large", {"note": "x" * BIG}),
    Case(
        "resource_spec: NaN",
        "POST",
        DEPLOYMENTS,
        422,
        "NaN",
        content=b'{"name":"a","source":"internal_source","source_config":{"resource_spec":{"cpu":NaN}},'
        b'"source_revision_config":{},"secrets":[]}',
    ),
    create(
        "inmem with replicas",
        400,
        "GRAPHYARD_SERVER=inmem",
        built(
            "agent",
            source_config={"resource_spec": {"min_scale": 2}},
            secrets=[entry("GRAPHYARD_SERVER", "inmem")],
        ),
    ),
]

SOURCES = [
    create("no image", 400, "image_uri", image("agent", source_revision_config={})),
    create("no spec for an image", 400, "resource_spec is required", image("agent", source_config={})),
    create(
        "an image with a space", 400, "image_uri", image("a", source_revision_config={"image_uri": "a b"})
    ),
    create(
        "a type for an image",
        400,
        "deployment_type",
        image("agent", source_config={"resource_spec": {}, "deployment_type": "prod"}),
    ),
    create(
        "a path for an image",
        400,
        "langgraph_config_path",
        image("agent", source_revision_config={"image_uri": "a", "langgraph_config_path": "langgraph.json"}),
    ),
    create(
        "an unknown listener",
        404,
        "Listener ID",
        image("agent", source_config={"resource_spec": {}, "listener_id": str(uuid4())}),
    ),
    create(
        "a listener for source", 400, "listener_id", built("a", source_config={"listener_id": str(uuid4())})
    ),
    create(
        "an image for source", 400, "image_uri", built("agent", source_revision_config={"image_uri": "a"})
    ),
    create(
        "an archive too early",
        400,
        "source_tarball_path",
        built("agent", source_revision_config={"source_tarball_path": "uploads/x.tar.gz"}),
    ),
    create(
        "references for source",
        400,
        "secret_references",
        built("agent", secret_references=[{"name": "A", "secret_name": "s", "secret_key": "k"}]),
    ),
    create("github without a ref", 400, "repo_ref is required", built("agent", **GITHUB)),
    create(
        "github",
        400,
        "Source configuration error: source 'github' is not available",
        built(
            "agent",
            **GITHUB,
            source_revision_config={"repo_ref": "main", "langgraph_config_path": "langgraph.json"},
        ),
    ),
    create("a template", 400, "template_id is required", built("agent", source="internal_template")),
    create("pushes", 400, "build_on_push", built("agent", source_config={"build_on_push": True})),
    create("an address", 400, "custom_url", built("agent", source_config={"custom_url": "ftp://x"})),
    create("a taken name", 409, "already exists", built("built")),
]

CHANGES = [
    patch("an empty display name", 422, "display_name", {"display_name": ""}),
    patch("the name", 400, "name cannot change", {"name": "other"}),
    patch("the source", 400, "source cannot change", {"source": "github"}),
    patch("the type", 400, "deployment_type cannot change", {"source_config": {"deployment_type": "prod"}}),
    patch("an image's number", 422, "image_uri", {"source_revision_config": {"image_uri": 7}}, "image"),
    patch("a reserved variable", 400, "'REDIS_URI' is reserved", {"secrets": [entry("REDIS_URI")]}, "image"),
    patch("a tier", 400, "deployment_tier", {"deployment_tier": "gold"}),
    patch("a tracked ref", 400, "tracked_repo_ref", {"tracked_repo_ref": "main"}),
    patch("github", 400, "'github' is not available", {"revision_source": "github"}),
    patch("an image's source", 400, "revision_source", {"revision_source": "internal_source"}, "image"),
    patch(
        "a command for an image", 400, "install_command", {"source_config": {"install_command": "x"}}, "image"
    ),
    patch(
        "an invented archive",
        400,
        "was not issued",
        {"source_revision_config": {"source_tarball_path": "../../etc/passwd"}},
    ),
    patch(
        "an unused ticket",
        400,
        "has no archive yet",
        {"source_revision_config": {"source_tarball_path": "{ticket}"}},
    ),
    patch(
        "no archive at all",
        400,
        "source_tarball_path is required",
        {"source_revision_config": {"langgraph_config_path": "langgraph.json"}},
    ),
    *(
        patch(
            f"the config path {path}",
            400,
            "langgraph_config_path",
            {"source_revision_config": {"langgraph_config_path": path}},
        )
        for path in ("/etc/x.json", "../x.json", "a/../../x.json", "langgraph.toml", "a\\b.json")
    ),
    patch("too many replicas", 400, "min_scale", {"source_config": {"resource_spec": {"min_scale": 9}}}),
    Case("patch: nobody", "PATCH", f"{DEPLOYMENTS}/{{gone}}", 404, "not found", json={"display_name": "x"}),
    Case("revise: nothing to build", "POST", f"{DEPLOYMENTS}/{{built}}/revisions", 400, "required", json={}),
    Case("revise: nobody", "POST", f"{DEPLOYMENTS}/{{gone}}/revisions", 404, "not found", json={}),
    Case("revise: a list", "POST", f"{DEPLOYMENTS}/{{built}}/revisions", 422, "dictionary", json=[]),
    Case("redeploy: nobody", "POST", f"{DEPLOYMENTS}/{{image}}/revisions/{{gone}}/redeploy", 404, "Revision"),
    Case(
        "interrupt: nobody", "POST", f"{DEPLOYMENTS}/{{image}}/revisions/{{gone}}/interrupt", 404, "Revision"
    ),
    Case("push-token: source", "POST", f"{DEPLOYMENTS}/{{built}}/push-token", 400, "only available for"),
    Case("upload-url: image", "POST", f"{DEPLOYMENTS}/{{image}}/upload-url", 400, "external_docker"),
    Case("upload-url: nobody", "POST", f"{DEPLOYMENTS}/{{gone}}/upload-url", 404, "not found"),
    Case("delete: nobody", "DELETE", f"{DEPLOYMENTS}/{{gone}}", 404, "not found"),
    Case("delete: forced too early", "DELETE", f"{DEPLOYMENTS}/{{built}}?force=true", 400, "AWAITING_DELETE"),
    Case("delete: none", "DELETE", DEPLOYMENTS, 422, "deployment_ids"),
    Case("delete: no id", "DELETE", f"{DEPLOYMENTS}?deployment_ids=x", 422, "deployment_ids"),
    Case("listener: create", "POST", "/v2/listeners", 403, "listeners", json={}),
]


def get(case: str, path: str, status: int, says: str) -> Case:
    return Case(f"get: {case}", "GET", path, status, says)


READING = [
    get("limit 0", f"{DEPLOYMENTS}?limit=0", 422, "limit"),
    get("limit 101", f"{DEPLOYMENTS}?limit=101", 422, "limit"),
    get("limit x", f"{DEPLOYMENTS}?limit=x", 422, "limit"),
    get("offset -1", f"{DEPLOYMENTS}?offset=-1", 422, "offset"),
    get("offset beyond", f"{DEPLOYMENTS}?offset={10**30}", 422, "offset"),
    get("status", f"{DEPLOYMENTS}?status=SAD", 422, "status"),
    get("type", f"{DEPLOYMENTS}?deployment_type=colossal", 422, "deployment_type"),
    get("ids", f"{DEPLOYMENTS}?deployment_ids=a,b", 400, "deployment_ids"),
    get("tags", f"{DEPLOYMENTS}?tag_value_ids=a", 400, "tag_value_ids"),
    get("an agent", f"{DEPLOYMENTS}?agent_id=a&agent_environment=staging", 400, "agent_id"),
    get("a NUL", f"{DEPLOYMENTS}?name=a%00b", 400, "NUL"),
    get("not an id", f"{DEPLOYMENTS}/not-a-uuid", 422, "deployment_id"),
    get("nobody", f"{DEPLOYMENTS}/{{gone}}", 404, "Deployment ID"),
    get("nobody's revisions", f"{DEPLOYMENTS}/{{gone}}/revisions", 404, "Deployment ID"),
    get("a revision's status", f"{DEPLOYMENTS}/{{image}}/revisions?status=NEW", 400, "NEW"),
    get("no revision", f"{DEPLOYMENTS}/{{image}}/revisions/{{gone}}", 404, "Revision ID"),
    get("events of nobody", f"{DEPLOYMENTS}/{{gone}}/events", 404, "Deployment ID"),
    get("events in no order", f"{DEPLOYMENTS}/{{image}}/events?order=up", 422, "order"),
    get("no listener", "/v2/listeners/{gone}", 404, "Listener ID"),
    get("not a listener's id", "/v2/listeners/x", 422, "listener_id"),
    get("nowhere", "/v2/nothing", 404, "/v2/nothing"),
    get("a trailing slash", f"{DEPLOYMENTS}/", 404, DEPLOYMENTS),
    Case("a verb that is not there", "PUT", DEPLOYMENTS, 405, "PUT"),
]

TOKENS = [
    Case("no key", "GET", DEPLOYMENTS, 401, "X-Api-Key", headers={"X-Api-Key": ""}),
    Case("an unknown key", "GET", DEPLOYMENTS, 401, "unknown", headers={"X-Api-Key": "gy_wrong"}),
    Case("a key with odd bytes", "GET", DEPLOYMENTS, 401, "unknown", headers={"X-Api-Key": "\u00ff\u00fe"}),
    Case(
        "not a bearer",
        "GET",
        DEPLOYMENTS,
        401,
        "X-Api-Key",
        headers={"X-Api-Key": "", "Authorization": "Basic eA=="},
    ),
    Case("a foreign workspace", "GET", DEPLOYMENTS, 403, "no access", headers={"X-Tenant-Id": str(uuid4())}),
    Case("no workspace's id", "GET", DEPLOYMENTS, 400, "X-Tenant-Id", headers={"X-Tenant-Id": "mine"}),
    Case(
        "a stranger's create",
        "POST",
        DEPLOYMENTS,
        401,
        "key",
        json=built("x"),
        headers={"X-Api-Key": "gy_no"},
    ),
]

CASES = [*BODIES, *NAMES, *ENVIRONMENT, *RESOURCES, *SOURCES, *CHANGES, *READING, *TOKENS]


async def test_bad_input_is_refused_in_words_and_writes_nothing(yard: Yard) -> None:
    places = await _places(yard)
    before = await yard.rows()
    wrong = [
        f"{case.id}: {problem}"
        for case in CASES
        for problem in [await _problem(yard, case, places)]
        if problem
    ]
    assert not wrong, "\n".join(wrong)
    assert await yard.rows() == before


def test_there_are_enough_cases_and_each_has_its_own_name() -> None:
    assert len(CASES) >= 60
    assert len({case.id for case in CASES}) == len(CASES)


@pytest.mark.parametrize("value", ["s3cret-marker"])
async def test_a_refusal_never_repeats_a_value(yard: Yard, value: str) -> None:
    for entries in (
        [entry("A"), entry("1", value)],
        [{"name": "A", "value": [value]}],
        [entry("REDIS_URI_CUSTOM", value)],
    ):
        answer = await yard.client.post(DEPLOYMENTS, json=built("agent", secrets=entries))
        assert answer.status_code in (400, 422)
        assert value not in answer.text


async def _places(yard: Yard) -> dict[str, str]:
    own = await yard.create("built")
    other = await yard.ok("POST", DEPLOYMENTS, 201, json=image("image"))
    ticket = await yard.ok("POST", f"{DEPLOYMENTS}/{own['id']}/upload-url")
    return {
        "built": own["id"],
        "image": other["id"],
        "ticket": ticket["object_path"],
        "gone": str(UUID(int=7)),
    }


async def _problem(yard: Yard, case: Case, places: dict[str, str]) -> str:
    """What is wrong with the answer to one case; a before and after per case would only be slower."""
    kwargs: dict[str, Any] = {"headers": {key: value.encode() for key, value in (case.headers or {}).items()}}
    if case.content is not None:
        kwargs["content"] = case.content
        kwargs["headers"]["Content-Type"] = b"application/json"
    elif case.json is not None:
        kwargs["json"] = _filled(case.json, places)
    before = await yard.rows()
    answer = await yard.client.request(case.method, case.path.format(**places), **kwargs)
    if answer.status_code != case.status:
        return f"{answer.status_code} {answer.text[:300]}"
    if answer.headers["content-type"] != "application/json":
        return f"is {answer.headers['content-type']}"
    if case.says not in str(answer.json()["detail"]):
        return f"does not say {case.says!r}: {answer.text[:300]}"
    return "" if await yard.rows() == before else "wrote a row"


def _filled(value: Any, places: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(item, places) for key, item in value.items()}
    return value.replace("{ticket}", places["ticket"]) if isinstance(value, str) else value
