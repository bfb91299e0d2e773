"""What happens to the gateway's links and markers, and to the sockets they lead to."""

from pathlib import Path

from tests.drift.patient import Patient


async def remove_a_link(patient: Patient) -> None:
    patient.slots()[1].unlink()


async def remove_all_links(patient: Patient) -> None:
    for slot in patient.slots():
        slot.unlink()


async def lead_a_link_nowhere(patient: Patient) -> None:
    _lead(patient.slots()[0], Path("../rev/nobody.sock"))


async def lead_all_links_to_another(patient: Patient) -> None:
    """Its callers would be answered by somebody else's agent."""
    others = (patient.home / "run" / "rev").glob("*.sock")
    other = next(path for path in sorted(others) if not path.name.startswith(patient.short))
    for slot in patient.slots():
        _lead(slot, Path("..") / "rev" / other.name)


async def lead_a_link_to_an_old_revision(patient: Patient) -> None:
    _lead(patient.slots()[2], Path("..") / "rev" / f"{patient.short}-1-0.sock")


async def replace_a_link_by_a_file(patient: Patient) -> None:
    patient.slots()[3].unlink()
    patient.slots()[3].write_text("not a link")


async def close_the_door(patient: Patient) -> None:
    """Callers get 404."""
    patient.door().unlink()


async def take_away_the_marker(patient: Patient) -> None:
    """Nobody takes runs."""
    patient.marker().unlink()


async def let_another_revision_take(patient: Patient) -> None:
    patient.marker(1).touch()


async def remove_the_socket(patient: Patient) -> None:
    """The server lives, and nobody can reach it."""
    patient.socket().unlink()


async def lock_the_socket(patient: Patient) -> None:
    patient.socket().chmod(0)


def _lead(link: Path, target: Path) -> None:
    link.unlink()
    link.symlink_to(target)
