"""The cluster's plane keeps every promise of a plane, with real builds, databases, pods and the cluster's own door."""

from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest

from dataplane.plane import Plane
from tests.dataplane.contract import MakeWish, PlaneContract
from tests.dataplane.kubernetes.grounds import Grounds, Place, grounds, placed
from tests.journeys.yard import pack, project
from workflows.shapes import Wish

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with placed() as made:
        yield made


@pytest.fixture
async def ground(place: Place) -> AsyncIterator[Grounds]:
    async with grounds(place) as made:
        yield made


@pytest.fixture
def plane(ground: Grounds) -> Plane:
    return ground.plane


@pytest.fixture
def make_wish(ground: Grounds) -> MakeWish:
    deployment, archive = uuid4(), ground.uploaded(pack(project()))

    def make(number: int = 1, **changes: object) -> Wish:
        return ground.wish(deployment, archive, number).model_copy(update=changes)

    return make


class TestKubernetes(PlaneContract):
    """The promises of any plane; those of seeing and putting right are in `test_upkeep`."""
