"""`langgraph.json` in all the ways it can be wrong, or right but not for this plane."""

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from workflows.causes import Code, Refused
from workflows.shapes import Flavour

Make = Callable[[Any], Any]

MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"
GRAPHS = {"agent": "./agent.py:graph"}


def with_config(**config: Any) -> Make:
    return lambda project: project(config)


def with_text(text: str | bytes) -> Make:
    return lambda project: project(**{"langgraph.json": text})


def with_files(config: dict[str, Any] | None = None, **files: str) -> Make:
    return lambda project: project(config, **{name.replace("__", "/"): text for name, text in files.items()})


def named(config: dict[str, Any] | None, files: dict[str, str]) -> Make:
    return lambda project: project(config, **files)


def agent(text: str) -> Make:
    return named(None, {"agent.py": text})


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
    "graphs as a list": (
        with_config(graphs=["./agent.py:graph"]),
        Code.CONFIG_INVALID,
        "'graphs' must be an object",
    ),
    "graph as a number": (
        with_config(graphs={"agent": 7}),
        Code.CONFIG_INVALID,
        "graph 'agent' must be text",
    ),
    "graph without path": (
        with_config(graphs={"agent": {"description": "x"}}),
        Code.CONFIG_INVALID,
        "'path'",
    ),
    "graph without name": (
        with_config(graphs={"agent": "./agent.py"}),
        Code.CONFIG_INVALID,
        "'./agent.py' is not",
    ),
    "graph name with spaces": (
        with_config(graphs={"agent": "./agent.py:my graph"}),
        Code.CONFIG_INVALID,
        "'my graph' is not a Python name",
    ),
    "graph file missing": (
        with_config(graphs={"agent": "./agnt.py:graph"}),
        Code.GRAPH_MISSING,
        "'./agnt.py' is not in the archive. Did you mean 'agent.py'",
    ),
    "graph outside": (with_config(graphs={"agent": "../a.py:graph"}), Code.GRAPH_MISSING, "leads out"),
    "graph absolute": (with_config(graphs={"agent": "/etc/passwd:graph"}), Code.GRAPH_MISSING, "leads out"),
    "graph without ./": (
        with_config(graphs={"agent": "agent.py:graph"}),
        Code.GRAPH_MISSING,
        "taken for a module. Write './agent.py'",
    ),
    "graph in a text file": (
        named({"graphs": {"agent": "./notes.txt:graph"}}, {"notes.txt": "x"}),
        Code.GRAPH_MISSING,
        "not a Python file",
    ),
    "graph name missing": (
        agent("def grpah():\n    pass\n"),
        Code.GRAPH_MISSING,
        "'agent.py' defines no 'graph'. Did you mean \"grpah\"",
    ),
    "graph file empty": (agent(""), Code.GRAPH_MISSING, "defines no 'graph'"),
    "graph file broken": (
        named({"python_version": MINOR}, {"agent.py": "def graph(:\n"}),
        Code.IMPORT_FAILED,
        f"'agent.py' is not valid Python {MINOR}: line 1",
    ),
    "JavaScript graph": (
        named({"graphs": {"agent": "./agent.ts:graph"}, "node_version": "20"}, {"agent.ts": "x"}),
        Code.NOT_ON_THIS_PLANE,
        "JavaScript",
    ),
    "JavaScript beside Python": (
        named({"graphs": {**GRAPHS, "js": "./x.mjs:graph"}}, {"x.mjs": "x"}),
        Code.NOT_ON_THIS_PLANE,
        "graph 'js'",
    ),
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
    "dependency missing": (
        with_config(dependencies=["./lib"]),
        Code.DEPENDENCY_MISSING,
        "the directory './lib' is not in the archive",
    ),
    "dependency outside": (
        with_config(dependencies=["../lib"]),
        Code.DEPENDENCY_MISSING,
        "'../lib' leads out",
    ),
    "dependency is a file": (with_config(dependencies=["./agent.py"]), Code.DEPENDENCY_MISSING, "is a file"),
    "dependency without dot": (
        named({"dependencies": ["lib/x"]}, {"lib/x/a.py": ""}),
        Code.CONFIG_INVALID,
        "write './lib/x'",
    ),
    "dependency an option": (
        with_config(dependencies=[".", "--pre"]),
        Code.CONFIG_INVALID,
        "'--pre' is neither",
    ),
    "dependency with credentials": (
        with_config(dependencies=[".", "x @ git+https://me:hush@example.org/x"]),
        Code.CONFIG_INVALID,
        "credentials",
    ),
    "dependency a file of mine": (
        with_config(dependencies=[".", "x @ file:///home/me/x"]),
        Code.DEPENDENCY_MISSING,
        "'x' names a file",
    ),
    "dependency as a number": (
        with_config(dependencies=[1]),
        Code.CONFIG_INVALID,
        "every entry of 'dependencies'",
    ),
    "extras of nothing": (with_config(dependencies=[".[dev]"]), Code.DEPENDENCY_MISSING, "asks for extras"),
    "requirements include": (
        named(None, {"requirements.txt": "-r more.txt\n"}),
        Code.DEPENDENCY_MISSING,
        "'requirements.txt' includes 'more.txt'",
    ),
    "requirements include outside": (
        named(None, {"requirements.txt": "-r /etc/passwd\n"}),
        Code.DEPENDENCY_MISSING,
        "includes '/etc/passwd'",
    ),
    "requirements with credentials": (
        named(None, {"requirements.txt": "--index-url https://me:hush@example.org/simple\n"}),
        Code.CONFIG_INVALID,
        "'requirements.txt' holds an address with credentials",
    ),
    "pyproject broken": (
        named(None, {"pyproject.toml": "[project\n"}),
        Code.CONFIG_INVALID,
        "'pyproject.toml' is not",
    ),
    "another server": (
        named(None, {"requirements.txt": "langgraph-api>=0.12\n"}),
        Code.NOT_ON_THIS_PLANE,
        "requirements.txt asks for 'langgraph-api>=0.12'",
    ),
    "hides the server": (
        named(None, {"langgraph/__init__.py": ""}),
        Code.CONFIG_INVALID,
        "'langgraph' in '.' has the name of a package the server needs",
    ),
    "needs another Python": (
        named(None, {"pyproject.toml": '[project]\nname="a"\nversion="1"\nrequires-python=">=3.50"\n'}),
        Code.PYTHON_UNAVAILABLE,
        "needs Python >=3.50",
    ),
}


@pytest.mark.parametrize(("make", "code", "says"), CASES.values(), ids=CASES.keys())
async def test_refuses_before_anything_is_built(
    yard: Any, project: Any, make: Make, code: Code, says: str
) -> None:
    with pytest.raises(Refused) as refused:
        await yard.images.preflight(yard.wish(make(project)))
    cause = refused.value.cause
    assert (cause.code, any(part in str(cause) for part in says.split("|"))) == (code, True), str(cause)
    assert cause.fix
    assert "hush" not in str(cause)
    assert yard.left() == []


@pytest.mark.parametrize("command", ["install_command", "build_command"])
async def test_refuses_commands(yard: Any, project: Any, command: str) -> None:
    with pytest.raises(Refused, match=command) as refused:
        await yard.images.preflight(yard.wish(project(), **{command: "npm ci"}))
    assert refused.value.cause.code == Code.NOT_ON_THIS_PLANE


@pytest.mark.parametrize(
    "text",
    [
        "from other import *\n",
        "from other import graph\n",
        "import other as graph\n",
        "graph: object = 1\n",
        "if True:\n    graph = 1\nelse:\n    graph = 2\n",
        "try:\n    import x\nexcept ImportError as graph:\n    pass\n",
        "a, (graph, *b) = 1, (2,)\n",
        "async def graph(): ...\n",
        "class graph: ...\n",
        "print(graph := 1)\n",
        "with open('x') as graph:\n    pass\n",
        "for graph in []:\n    pass\n",
        "globals()['graph'] = 1\n",
        "def __getattr__(name): ...\n",
        "def fill():\n    global graph\n    graph = 1\nfill()\n",
        "import sys\nsetattr(sys.modules[__name__], 'graph', 1)\n",
    ],
)
async def test_believes_what_it_cannot_know(yard: Any, project: Any, text: str) -> None:
    assert (await yard.images.preflight(yard.wish(project(**{"agent.py": text})))).graphs == ["agent"]


@pytest.mark.parametrize(
    "text",
    ["def f():\n    graph = 1\n", "class A:\n    graph = 1\n", "print('graph')\n", "x = lambda graph: 1\n"],
)
async def test_is_not_fooled_by_names_elsewhere(yard: Any, project: Any, text: str) -> None:
    with pytest.raises(Refused, match="defines no 'graph'"):
        await yard.images.preflight(yard.wish(project(**{"agent.py": text})))


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
    await yard.build(project(config))
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
