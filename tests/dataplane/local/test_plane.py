"""The local plane keeps every promise of a plane, with real builds, databases, processes and gateway."""

from uuid import UUID

import pytest

from dataplane.plane import Plane
from tests.dataplane.contract import MakeWish, PlaneContract, UpkeepContract
from tests.dataplane.local.yard import EXAMPLE, Yard
from workflows.shapes import Wish


@pytest.fixture
def plane(yard: Yard) -> Plane:
    return yard.plane


@pytest.fixture
def make_wish(yard: Yard, deployment: UUID) -> MakeWish:
    archive = yard.uploaded(EXAMPLE)

    def make(number: int = 1, **changes: object) -> Wish:
        return yard.wish(deployment, number).model_copy(update={"archive": archive, "image": None, **changes})

    return make


class TestLocal(PlaneContract):
    """The promises of any plane."""


class TestLocalUpkeep(UpkeepContract):
    """And those of seeing and putting right."""
