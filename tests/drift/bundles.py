"""What happens to an image where it lies."""

import shutil

from tests.drift.patient import Patient


async def remove_the_image(patient: Patient) -> None:
    # Moved first: whoever repairs is quicker than a removal of thousands of files.
    gone = patient.flags.parent / "image"
    patient.bundle().rename(gone)
    shutil.rmtree(gone)


async def remove_its_mark(patient: Patient) -> None:
    (patient.bundle() / ".complete").unlink()


async def damage_a_source(patient: Patient) -> None:
    file = patient.bundle() / "source" / "patient.py"
    file.write_text(file.read_text().replace(".upper()", ".lower()"))


async def remove_the_python(patient: Patient) -> None:
    (patient.bundle() / "venv" / "bin" / "python").unlink()


async def remove_the_packages(patient: Patient) -> None:
    shutil.rmtree(patient.bundle() / "venv" / "lib")


async def lock_the_sources(patient: Patient) -> None:
    (patient.bundle() / "source").chmod(0)
