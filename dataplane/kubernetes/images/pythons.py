"""Which Python a project is built on: one that the plane has a server image for."""

from collections.abc import Iterable

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from workflows.causes import Code, Refused
from workflows.shapes import Flavour


def choose(flavour: Flavour, declared: str | None, needs: SpecifierSet, images: Iterable[str]) -> str:
    """The declared release, or else the newest that the project allows. Raises `Refused(PYTHON_UNAVAILABLE)`."""
    keys = (key.partition("-") for key in images)
    there = sorted((release for name, _, release in keys if name == flavour), key=Version, reverse=True)
    have = ", ".join(there) or "none"
    if declared is not None and declared not in there:
        raise Refused(
            Code.PYTHON_UNAVAILABLE,
            f"This plane has no '{flavour}' server for Python {declared}; it has {have}.",
            "Change python_version in `langgraph.json`, or have a server image of that release made.",
        )
    for release in [declared] if declared else there:
        # Any patch release will do: which one the image has is not known here.
        if any(needs.contains(f"{release}.{patch}", prereleases=True) for patch in range(40)):
            return release
    raise Refused(
        Code.PYTHON_UNAVAILABLE,
        f"The project needs Python {needs}, which this plane's '{flavour}' servers ({declared or have}) are not.",
        "Change requires-python or python_version, or have a server image of that release made.",
    )
