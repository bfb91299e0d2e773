"""The planes there are, built from settings: the one place that knows what a local plane is made of."""

import os

from dataplane.images.bundles import BundleImages
from dataplane.images.inflate import Limits
from dataplane.local.plane import local_plane
from dataplane.plane import Plane, Sources
from sealing import Keyring
from settings import Settings


def local(settings: Settings, keyring: Keyring, sources: Sources) -> Plane:
    """This machine."""
    limits = Limits(
        packed=settings.upload_bytes,
        unpacked=settings.unpacked_bytes,
        files=settings.unpacked_files,
        ratio=settings.unpacked_ratio,
    )
    return local_plane(
        name=settings.plane,
        home=settings.home,
        keys=settings.sealing_keys,
        postgres_admin=settings.plane_postgres_admin.get_secret_value(),
        public_url=settings.public_url,
        images=BundleImages(settings.home, sources, keyring, limits),
        progress_seconds=settings.progress_seconds,
        drain_seconds=settings.drain_seconds,
        stuck_seconds=settings.stuck_seconds,
        valkey=os.environ.get("VALKEY_BIN"),
    )
