"""Where links lead and who may take runs, told in words, and led right again but never away from what is newer."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest

from dataplane.local import doors
from dataplane.local.slots import Slots
from tests.wishes import a_wish
from workflows.drift import Field
from workflows.shapes import Wish

SHORT, SLUG = "0a1b2c3d", "agent-0a1b2c3d"
WISH = a_wish(deployment_id=UUID(f"{SHORT}-0000-4000-8000-000000000000"), number=3, replicas=2)


@pytest.fixture
def slots(tmp_path: Path) -> Iterator[Slots]:
    """Led to two replicas that listen."""
    slots = Slots(tmp_path)
    slots.make()
    listening = []
    # Relative: where tests keep their files, paths are longer than an address may be.
    before = Path.cwd()
    os.chdir(tmp_path / "run" / "rev")
    for index in range(2):
        one = socket.socket(socket.AF_UNIX)
        one.bind(slots.socket(SHORT, 3, index).name)
        listening.append(one)
    os.chdir(before)
    slots.lead(SHORT, SLUG, 3, 2)
    yield slots
    for one in listening:
        one.close()


def told(slots: Slots, wish: Wish = WISH) -> tuple[bool, str | None]:
    """Whether there is a door, and where it leads."""
    found = {one.field: one.seen for one in doors.facts(slots, wish)}
    return Field.ROUTE in found, found.get(Field.LINK)


def relink(slot: Path, target: str) -> None:
    slot.unlink()
    slot.symlink_to(target)


def relink_all(run: Path, target: str) -> None:
    for slot in range(4):
        relink(run / f"up/{SHORT}.{slot}", target)


def unlink_all(run: Path) -> None:
    for slot in range(4):
        (run / f"up/{SHORT}.{slot}").unlink()


Change = Callable[[Path], object]
CHANGES: list[tuple[Change, tuple[bool, str | None]]] = [
    (lambda run: None, (True, "revision 3")),
    (lambda run: (run / f"up/{SLUG}.on").unlink(), (False, "revision 3")),
    (lambda run: (run / f"up/{SHORT}.1").unlink(), (True, "slot 1 leads nowhere")),
    (unlink_all, (True, None)),
    (lambda run: relink(run / f"up/{SHORT}.2", "/tmp/x"), (True, "slot 2 leads nowhere")),
    (
        lambda run: relink(run / f"up/{SHORT}.0", "../rev/ffffffff-1-0.sock"),
        (True, "slot 0 leads to another deployment"),
    ),
    (
        lambda run: relink(run / f"up/{SHORT}.3", f"../rev/{SHORT}-2-1.sock"),
        (True, "slot 3 leads to replica 1 of revision 2"),
    ),
    (
        lambda run: relink(run / f"up/{SHORT}.1", f"../rev/{SHORT}-3-0.sock"),
        (True, "slot 1 leads to replica 0 of revision 3"),
    ),
    (
        lambda run: relink_all(run, f"../rev/{SHORT}-2-0.sock"),
        (True, "revision 2, but it may not take runs, revision 3 may take runs"),
    ),
    (lambda run: (run / f"take/{SHORT}-3").unlink(), (True, "revision 3, but it may not take runs")),
    (lambda run: (run / f"take/{SHORT}-1").touch(), (True, "revision 3, but revision 1 may take runs")),
    (
        lambda run: (run / f"rev/{SHORT}-3-1.sock").chmod(0),
        (True, "revision 3, but the socket of replica 1 has mode 0000"),
    ),
    # A replica that is away is told of as such.
    (lambda run: (run / f"rev/{SHORT}-3-1.sock").unlink(), (True, "revision 3")),
]


@pytest.mark.parametrize(("change", "expected"), CHANGES)
def test_where_a_door_leads(
    tmp_path: Path, slots: Slots, change: Change, expected: tuple[bool, str | None]
) -> None:
    change(tmp_path / "run")
    assert told(slots) == expected
    slots.lead(SHORT, SLUG, 3, 2, unless_newer=True)
    if "mode" not in str(expected[1]):
        assert told(slots) == (True, "revision 3")


def test_a_newer_revision_keeps_the_door(slots: Slots) -> None:
    slots.socket(SHORT, 4, 0).touch()
    slots.lead(SHORT, SLUG, 4, 1)
    slots.lead(SHORT, SLUG, 3, 2, unless_newer=True)
    assert told(slots) == (True, "revision 4")
    slots.socket(SHORT, 4, 0).unlink()
    slots.lead(SHORT, SLUG, 3, 2, unless_newer=True)
    assert told(slots) == (True, "revision 3")


def test_what_leads_right_is_left_as_old_as_it_is(slots: Slots, tmp_path: Path) -> None:
    # Two links made within a tick of the kernel's clock have the same age.
    os.utime(tmp_path / "run" / "up" / f"{SHORT}.0", (1, 1), follow_symlinks=False)
    before = slots.since(SHORT)
    slots.lead(SHORT, SLUG, 3, 2)
    assert slots.since(SHORT) == before
    slots.lead(SHORT, SLUG, 4, 2)
    assert slots.since(SHORT) != before


def test_nothing_at_all(tmp_path: Path) -> None:
    slots = Slots(tmp_path)
    assert told(slots) == (False, None)
    assert slots.since(SHORT) is None
