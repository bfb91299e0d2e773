"""Whether a Python file defines a name, told without running it: a typo should cost a second, not a rollout.

Only what is certain is refused. A file that builds its names at run time, or that imports them with a star,
gets the benefit of the doubt; the server finds out.
"""

import ast
import difflib
from enum import Enum

DYNAMIC = frozenset({"globals", "locals", "vars", "exec", "setattr", "__import__"})


class Found(Enum):
    """What can be said about a name in a file."""

    YES = "yes"
    NO = "no"
    PERHAPS = "perhaps"


class Unparsable(Exception):
    """The file is not valid Python, for the Python that looked."""


def defines(source: bytes, name: str) -> tuple[Found, list[str]]:
    """Whether the module binds `name`, and names that look like it if not."""
    try:
        module = ast.parse(source)
    except SyntaxError as error:
        raise Unparsable(f"line {error.lineno}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError, SystemError):
        # SystemError: up to Python 3.11.4 two parses at once confuse each other's depth.
        return Found.PERHAPS, []
    names, dynamic = _bound(module)
    if name in names:
        return Found.YES, []
    if dynamic:
        return Found.PERHAPS, []
    return Found.NO, difflib.get_close_matches(name, names, n=2, cutoff=0.5)


def _bound(module: ast.Module) -> tuple[set[str], bool]:
    """All names the module may bind at its top level, and whether there may be others."""
    names: set[str] = set()
    dynamic = False
    todo: list[ast.AST] = list(module.body)
    while todo:
        node = todo.pop()
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                names.add(node.name)
                dynamic = dynamic or node.name == "__getattr__" or _reaches_out(node)
                continue
            case ast.ClassDef():
                names.add(node.name)
                continue
            case ast.Import():
                names |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
            case ast.ImportFrom():
                names |= {alias.asname or alias.name for alias in node.names}
                dynamic = dynamic or any(alias.name == "*" for alias in node.names)
            case ast.Name(ctx=ast.Store()):
                names.add(node.id)
            case ast.Name(ctx=ast.Load()) if node.id in DYNAMIC:
                dynamic = True
            case ast.ExceptHandler(name=str(caught)) | ast.MatchAs(name=str(caught)):
                names.add(caught)
            case ast.Attribute(attr="__dict__") | ast.Attribute(attr="modules"):
                dynamic = True
            case ast.Lambda():
                continue
        todo += ast.iter_child_nodes(node)
    return names, dynamic


def _reaches_out(function: ast.AST) -> bool:
    """Whether a function may bind names of the module when it is called."""
    return any(
        isinstance(node, ast.Global) or (isinstance(node, ast.Name) and node.id in DYNAMIC)
        for node in ast.walk(function)
    )
