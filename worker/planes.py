"""The planes there are, built from settings: the one place that knows what a local plane is made of."""

from dataplane.local.plane import plane

from dataplane.plane import Plane, Sources
from sealing import Keyring
from settings import Settings


def local(settings: Settings, keyring: Keyring, sources: Sources) -> Plane:
    """This machine."""
    return plane(settings, keyring, sources)  # type: ignore[no-any-return]
