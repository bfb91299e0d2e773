"""Links and markers on a real disk."""

from pathlib import Path

import pytest

from dataplane.local.slots import SLOTS, Slots

SHORT, SLUG = "0a1b2c3d", "agent-0a1b2c3d"


@pytest.fixture
def slots(tmp_path: Path) -> Slots:
    slots = Slots(tmp_path)
    slots.make()
    return slots


def leads(home: Path) -> list[str]:
    return [(home / "run" / "up" / f"{SHORT}.{slot}").readlink().name for slot in range(SLOTS)]


@pytest.mark.parametrize(
    ("replicas", "expected"),
    [(1, [0, 0, 0, 0]), (2, [0, 1, 0, 1]), (3, [0, 1, 2, 0]), (4, [0, 1, 2, 3])],
)
def test_every_slot_leads_somewhere(tmp_path: Path, slots: Slots, replicas: int, expected: list[int]) -> None:
    slots.lead(SHORT, SLUG, 7, replicas)
    assert leads(tmp_path) == [f"{SHORT}-7-{index}.sock" for index in expected]
    assert slots.serving(SHORT) == 7


def test_only_the_one_that_serves_takes_runs(slots: Slots) -> None:
    slots.lead(SHORT, SLUG, 1, 1)
    slots.lead("ffffffff", "other-ffffffff", 5, 1)
    slots.lead(SHORT, SLUG, 12, 1)
    assert not slots.marker(SHORT, 1).exists()
    assert slots.marker(SHORT, 12).exists()
    assert slots.marker("ffffffff", 5).exists()


def test_closed_means_no_route(slots: Slots) -> None:
    slots.lead(SHORT, SLUG, 1, 2)
    slots.lead("ffffffff", "other-ffffffff", 5, 1)
    slots.close(SHORT)
    slots.close(SHORT)
    assert not slots.routed(SHORT)
    assert slots.serving(SHORT) is None
    assert slots.routed("ffffffff")


def test_forgetting_one_revision_spares_its_neighbours(slots: Slots) -> None:
    for number in (1, 11):
        slots.marker(SHORT, number).touch()
        slots.socket(SHORT, number, 0).touch()
    slots.forget(SHORT, 1)
    assert not slots.marker(SHORT, 1).exists()
    assert not slots.socket(SHORT, 1, 0).exists()
    assert slots.marker(SHORT, 11).exists()
    assert slots.socket(SHORT, 11, 0).exists()
