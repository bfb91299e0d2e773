"""What a plane's builds are able to do beside installing Python packages; a project that needs more is refused."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Powers:
    """One plane's."""

    containers: bool = False
    """Container images come of it, so lines of a Dockerfile can be run."""
    node: bool = False
    """There is Node.js to build and run JavaScript with."""


PACKAGES = Powers()
"""A machine that installs into environments and nothing else."""
