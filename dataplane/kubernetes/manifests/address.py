"""Where callers find a deployment: the public URL's host and the path below it."""

import ipaddress
from urllib.parse import urlsplit

from dataplane.kubernetes.site import Door
from workflows import names
from workflows.shapes import Wish


def prefix(door: Door, wish: Wish) -> str:
    """The path at which a deployment's own paths begin."""
    base = urlsplit(door.public_url).path.rstrip("/")
    return f"{base}/d/{names.slug(wish.name, wish.deployment_id)}"


def origin(door: Door) -> str:
    """What browsers call the public URL's pages."""
    parts = urlsplit(door.public_url)
    return f"{parts.scheme}://{parts.netloc}"


def public(door: Door, wish: Wish) -> str:
    """The deployment's own URL."""
    return f"{origin(door)}{prefix(door, wish)}"


def host(door: Door) -> str:
    """The public name; empty for an address, which no rule can name."""
    name = urlsplit(door.public_url).hostname or ""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name
    return ""
