"""`langgraph.json` in all the ways it can be wrong, or right but not for this plane."""

import json
from typing import Any

import pytest

from tests.dataplane.images.makes import (
    MINOR,
    Make,
    named,
    refused_at_once,
    with_config,
    with_text,
)
from workflows.causes import Code, Refused
from workflows.shapes import Flavour

CASES: dict[str, tuple[Make, Code, str]] = {
    "no config": (lambda project: {"agent.py": "graph = 1"}, Code.CONFIG_MISSING, "no 'langgraph.json'"),
    "config elsewhere": (
        lambda project: {"app/langgraph.json": "{}", "app/agent.py": ""},
        Code.CONFIG_MISSING,
        "There is: app/langgraph.json",
    ),
    "not JSON": (with_text('{"graphs": \n {,}'), Code.CONFIG_INVALID, "line 2"),
    "not UTF-8": (with_text(b'{"graphs": "\xff"}'), Code.CONFIG_INVALID, "not UTF-8"),
    "a list": (with_text("[]"), Code.CONFIG_INVALID, "not a JSON object"),
    "too deep": (with_text('{"store": ' + '{"a": ' * 60 + "1" + "}" * 61), Code.CONFIG_INVALID, "too deeply"),
    "endless nesting": (with_text("[" * 100_000), Code.CONFIG_INVALID, "cannot be read|can be read"),
    "too large": (with_text(" " * (2 << 20) + "{}"), Code.CONFIG_INVALID, "too large"),
    "no graphs": (with_config(graphs={}), Code.CONFIG_INVALID, "No graphs found"),
    "no dependencies": (with_config(dependencies=[]), Code.CONFIG_INVALID, "No dependencies found"),
    "node_version": (with_config(node_version="20"), Code.NOT_ON_THIS_PLANE, "node_version"),
    "node_version too old": (with_config(node_version="12"), Code.CONFIG_INVALID, "12 is not supported"),
    "dockerfile_lines": (
        with_config(dockerfile_lines=["RUN ls"]),
        Code.NOT_ON_THIS_PLANE,
        "dockerfile_lines",
    ),
    "dockerfile_lines as text": (
        with_config(dockerfile_lines="RUN ls"),
        Code.CONFIG_INVALID,
        "must be a list",
    ),
    "base_image": (with_config(base_image="me/base"), Code.NOT_ON_THIS_PLANE, "base_image"),
    "image_distro unknown": (with_config(image_distro="arch"), Code.CONFIG_INVALID, "Invalid image_distro"),
    "ui": (with_config(ui={"agent": "./ui.tsx"}), Code.NOT_ON_THIS_PLANE, "ui cannot"),
    "source": (
        with_config(source={"kind": "uv"}, dependencies=[], python_version="3.11"),
        Code.NOT_ON_THIS_PLANE,
        "'dependencies'",
    ),
    "priority": (
        with_config(priority={"path": "./agent.py:graph"}),
        Code.NOT_ON_THIS_PLANE,
        "langgraph-api 0.11.1 does not know it",
    ),
    "python too old": (with_config(python_version="3.9"), Code.CONFIG_INVALID, "3.9 is not supported"),
    "python with patch": (with_config(python_version="3.11.4"), Code.CONFIG_INVALID, "patch version cannot"),
    "python of another planet": (
        with_config(python_version="3.99"),
        Code.PYTHON_UNAVAILABLE,
        "no Python 3.99; it has 3.",
    ),
    "python as a number": (
        with_config(python_version=3.11),
        Code.CONFIG_INVALID,
        "'python_version' must be text",
    ),
    "python variant": (with_config(python_version="3.11-slim"), Code.NOT_ON_THIS_PLANE, "'3.11-slim'"),
    "api_version": (with_config(api_version="0.8"), Code.NOT_ON_THIS_PLANE, "langgraph-api 0.11.1"),
    "api_version range": (
        with_config(api_version="~=0.12.0"),
        Code.NOT_ON_THIS_PLANE,
        "api_version '~=0.12.0'",
    ),
    "api_version nonsense": (
        with_config(api_version="new"),
        Code.CONFIG_INVALID,
        "Invalid version format: new",
    ),
    "mount_prefix": (with_config(http={"mount_prefix": "/x"}), Code.NOT_ON_THIS_PLANE, "http.mount_prefix"),
    "disable_meta": (with_config(http={"disable_meta": True}), Code.NOT_ON_THIS_PLANE, "/ok and /info"),
    "http app missing": (
        with_config(http={"app": "./web.py:app"}),
        Code.CONFIG_INVALID,
        "http.app: the file './web.py'",
    ),
    "http app without name": (with_config(http={"app": "./web.py"}), Code.CONFIG_INVALID, "Invalid http.app"),
    "auth as text": (with_config(auth="./auth.py:auth"), Code.CONFIG_INVALID, "'auth' must be an object"),
    "auth file missing": (
        with_config(auth={"path": "./auth.py:auth"}),
        Code.CONFIG_INVALID,
        "auth.path: the file",
    ),
    "auth name missing": (
        named({"auth": {"path": "./auth.py:auth"}}, {"auth.py": "other = 1\n"}),
        Code.CONFIG_INVALID,
        "auth.path: 'auth.py' defines no 'auth'",
    ),
    "semantic search on pg": (
        with_config(store={"index": {"embed": "openai:x", "dims": 3}}),
        Code.NOT_ON_THIS_PLANE,
        "store.index cannot be honoured here: the 'pg' server",
    ),
    "thread expiry on pg": (
        with_config(checkpointer={"ttl": {"default_ttl": 5}}),
        Code.NOT_ON_THIS_PLANE,
        "checkpointer.ttl",
    ),
    "encryption on pg": (
        named({"encryption": {"path": "./agent.py:graph"}}, {}),
        Code.NOT_ON_THIS_PLANE,
        "unencrypted",
    ),
    "keep_pkg_tools unknown": (with_config(keep_pkg_tools=["npm"]), Code.CONFIG_INVALID, "npm"),
    "pip_config_file missing": (
        with_config(pip_config_file="./pip.conf"),
        Code.CONFIG_INVALID,
        "'./pip.conf' is not",
    ),
    "pip_config_file broken": (
        named({"pip_config_file": "./pip.conf"}, {"pip.conf": "index-url = x"}),
        Code.CONFIG_INVALID,
        "'pip.conf' is not a pip configuration",
    ),
    "env as a number": (with_config(env=5), Code.CONFIG_INVALID, "'env' must be an object or text"),
    "env value as a list": (with_config(env={"A": ["x"]}), Code.CONFIG_INVALID, "the value of 'A'"),
    "env reserved": (with_config(env={"DATABASE_URI": "x"}), Code.ENVIRONMENT_RESERVED, "'DATABASE_URI'"),
    "env ours": (with_config(env={"GRAPHYARD_HOME": "x"}), Code.ENVIRONMENT_RESERVED, "'GRAPHYARD_HOME'"),
    "env name": (with_config(env={"a-b": "x"}), Code.CONFIG_INVALID, "'a-b'"),
    "env file line": (
        named({"env": ".env"}, {".env": "A=1\n'oops\n"}),
        Code.CONFIG_INVALID,
        "line 2 of the file '.env'",
    ),
}


@pytest.mark.parametrize(("make", "code", "says"), CASES.values(), ids=CASES.keys())
async def test_refuses_before_anything_is_built(
    yard: Any, project: Any, make: Make, code: Code, says: str
) -> None:
    await refused_at_once(yard, make(project), code, says)


@pytest.mark.parametrize("command", ["install_command", "build_command"])
async def test_refuses_commands(yard: Any, project: Any, command: str) -> None:
    with pytest.raises(Refused, match=command) as refused:
        await yard.images.preflight(yard.wish(project(), **{command: "npm ci"}))
    assert refused.value.cause.code == Code.NOT_ON_THIS_PLANE


@pytest.mark.parametrize(
    "config",
    [
        {"api_version": "0.11"},
        {"api_version": "0.11.1"},
        {"api_version": "0"},
        {"api_version": "~=0.11.0"},
        {"api_version": ">~=0.10.0"},
        {"graphs": {"agent": "agent:graph"}},
        {"dockerfile_lines": [], "node_version": None, "base_image": None, "ui": None},
        {"dependencies": [".", "idna>=3", "attrs[tests]; python_version < '4'", "langgraph-api>=0.11"]},
        {"python_version": MINOR, "pip_installer": "pip", "keep_pkg_tools": True},
    ],
)
async def test_takes_what_holds(yard: Any, project: Any, config: dict[str, Any]) -> None:
    plan = await yard.images.preflight(yard.wish(project(config)))
    assert plan.python.startswith("3.")


async def test_finds_the_config_anywhere(yard: Any, project: Any) -> None:
    files = {f"apps/one/{name}": text for name, text in project().items()}
    plan = await yard.images.preflight(yard.wish(files, config_path="apps/one/langgraph.json"))
    assert plan.graphs == ["agent"]


async def test_inmem_takes_what_pg_cannot(yard: Any, project: Any) -> None:
    config = {"store": {"index": {"embed": "./agent.py:graph", "dims": 3}}}
    await yard.images.preflight(yard.wish(project(config), flavour=Flavour.INMEM))


async def test_says_in_the_log_what_does_nothing(yard: Any, project: Any) -> None:
    config = {"image_distro": "wolfi", "pip_installer": "pip", "grahps": {}, "$schema": "x"}
    await yard.images.preflight(yard.wish(project(config)))
    warnings = [line["message"] for line in yard.log() if line["level"] == "WARNING"]
    assert len(warnings) == 3
    assert "did you mean 'graphs'" in " ".join(warnings)
    assert "image_distro 'wolfi' does nothing here" in " ".join(warnings)


async def test_tells_the_server_what_the_config_says(yard: Any, project: Any) -> None:
    config = {
        "graphs": {
            "agent": {"path": "./agent.py:graph", "description": "what it does"},
            "module": "agent:graph",
        },
        "auth": {"path": "./auth.py:auth", "disable_studio_auth": True},
        "http": {"app": "./web/app.py:app", "cors": {"allow_origins": ["https://example.org"]}},
        "webhooks": {"url": {"require_https": True}},
    }
    files = {"auth.py": "auth = 1\n", "web/app.py": "app = 1\n"}
    at_root = project(config, **files)
    bundle = yard.bundle(
        await yard.build({f"sub/{k}": v for k, v in at_root.items()}, config_path="sub/langgraph.json")
    )
    told = {name: json.loads(value) for name, value in bundle.environment().items()}
    root = bundle.source / "sub"
    assert told == {
        "LANGSERVE_GRAPHS": {
            "agent": {"path": f"{root}/agent.py:graph", "description": "what it does"},
            "module": "agent:graph",
        },
        "LANGGRAPH_AUTH": {"path": f"{root}/auth.py:auth", "disable_studio_auth": True},
        "LANGGRAPH_HTTP": {
            "app": f"{root}/web/app.py:app",
            "cors": {"allow_origins": ["https://example.org"]},
        },
        "LANGGRAPH_WEBHOOKS": {"url": {"require_https": True}},
    }
    assert bundle.workdir == root
    assert bundle.graphs == {"agent": f"{root}/agent.py:graph", "module": "agent:graph"}
