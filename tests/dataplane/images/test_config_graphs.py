"""Which graphs a project has: found by reading, for nothing of it may run before it is built."""

from typing import Any

import pytest

from tests.dataplane.images.makes import GRAPHS, MINOR, Make, agent, named, refused_at_once, with_config
from workflows.causes import Code, Refused

CASES: dict[str, tuple[Make, Code, str]] = {
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
}


@pytest.mark.parametrize(("make", "code", "says"), CASES.values(), ids=CASES.keys())
async def test_refuses_graphs_that_cannot_be(
    yard: Any, project: Any, make: Make, code: Code, says: str
) -> None:
    await refused_at_once(yard, make(project), code, says)


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
