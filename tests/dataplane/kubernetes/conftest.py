"""What tests of the cluster's plane share: a namespace of their own, and the keys of a keyring."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dataplane.kubernetes.cluster import Cluster
from sealing import Keyring
from tests.cluster import namespaced


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    """A cluster at a namespace that is this test's alone."""
    async with namespaced() as made:
        yield made


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A keyring's file."""
    place = tmp_path / "sealing.keys"
    Keyring.create(place)
    return place
