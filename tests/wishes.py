"""Wishes that no record knows of: a test names only what matters to it."""

import hashlib
from typing import Any
from uuid import uuid4

from workflows.shapes import Archive, Wish


def a_wish(**fields: Any) -> Wish:
    values: dict[str, Any] = {
        "deployment_id": uuid4(),
        "revision_id": uuid4(),
        "number": 1,
        "name": "agent",
        "source": "internal_source",
        "environment": "sealed",
        "credentials": "sealed",
    }
    return Wish(**{**values, **fields})


def an_archive(content: bytes = b"archive") -> Archive:
    return Archive(upload_id=uuid4(), sha256=hashlib.sha256(content).hexdigest(), size=len(content))
