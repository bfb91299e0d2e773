"""What a project asks to be installed, as far as that can be judged without installing it."""

from typing import Any

import pytest

from tests.dataplane.images.makes import Make, named, refused_at_once, with_config
from workflows.causes import Code

CASES: dict[str, tuple[Make, Code, str]] = {
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
async def test_refuses_what_cannot_be_installed(
    yard: Any, project: Any, make: Make, code: Code, says: str
) -> None:
    await refused_at_once(yard, make(project), code, says)
