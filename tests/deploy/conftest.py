"""A home short enough for sockets, without a stack in it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.embedded.home import Home


@pytest.fixture
def home() -> Iterator[Home]:
    directory = Path(tempfile.mkdtemp(prefix="gy-"))
    yield Home(directory / "home")
    shutil.rmtree(directory)
