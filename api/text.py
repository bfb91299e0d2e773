"""Text and JSON as callers may send them: what the database and an environment can hold, and no more.

Postgres takes no NUL in text, no lone surrogate and no NaN in JSON; each would surface as a server error
long after the caller could have been told.
"""

import math
from typing import Annotated, Any

from pydantic import AfterValidator, StringConstraints

DEEPEST = 20


def _plain(value: str) -> str:
    if "\0" in value:
        raise ValueError("must not contain a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("must be valid Unicode") from None
    return value


def _storable(value: Any, depth: int = 0) -> Any:
    if depth > DEEPEST:
        raise ValueError(f"must not be nested deeper than {DEEPEST} levels")
    match value:
        case str():
            _plain(value)
        case float() if not math.isfinite(value):
            raise ValueError("must not contain NaN or Infinity")
        case dict():
            for key, item in value.items():
                _plain(key)
                _storable(item, depth + 1)
        case list():
            for item in value:
                _storable(item, depth + 1)
    return value


Text = Annotated[str, AfterValidator(_plain)]
Line = Annotated[str, StringConstraints(max_length=2048), AfterValidator(_plain)]
"""Text of a sane length: names, paths, addresses."""

Json = Annotated[dict[str, Any], AfterValidator(_storable)]
