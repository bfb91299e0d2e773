"""Projects that are wrong in one way, made from the smallest that is right, and how each is refused."""

import sys
from collections.abc import Callable
from typing import Any

import pytest

from workflows.causes import Code, Refused

Make = Callable[[Any], Any]

MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"
GRAPHS = {"agent": "./agent.py:graph"}


def with_config(**config: Any) -> Make:
    return lambda project: project(config)


def with_text(text: str | bytes) -> Make:
    return lambda project: project(**{"langgraph.json": text})


def named(config: dict[str, Any] | None, files: dict[str, str]) -> Make:
    return lambda project: project(config, **files)


def agent(text: str) -> Make:
    return named(None, {"agent.py": text})


async def refused_at_once(yard: Any, files: Any, code: Code, says: str) -> None:
    """Before anything is built, with a cause that says one of these (parted by `|`) and what to do."""
    with pytest.raises(Refused) as refused:
        await yard.images.preflight(yard.wish(files))
    cause = refused.value.cause
    assert (cause.code, any(part in str(cause) for part in says.split("|"))) == (code, True), str(cause)
    assert cause.fix
    assert "hush" not in str(cause)
    assert yard.left() == []
