"""Hostnames: in a cluster `custom_url` opens a door of its own, so a name belongs to one deployment at a time."""

from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.parts import Parts
from api.places import Place
from api.problems import Conflict, SourceConfiguration
from records import deployment, settle
from workflows.shapes import PlaneKind

FIELD = "source_config.custom_url"


async def claim(
    session: AsyncSession, house: Parts, place: Place, custom_url: str | None, owner: UUID | None = None
) -> None:
    """Refuse an address whose name this installation answers to, or another deployment has. On one machine it is
    only a note of where the deployment is reached."""
    if place.kind is not PlaneKind.KUBERNETES or custom_url is None:
        return
    settings = house.settings
    own = {urlsplit(url).hostname for url in (settings.public_url, *settings.plane_urls.values())}
    for host in settle.hostnames(custom_url):
        if host in own:
            raise SourceConfiguration(f"{FIELD}: '{host}' is this installation's own; choose another name.")
        if await deployment.has_host(session, host, besides=owner):
            raise Conflict(f"{FIELD}: another deployment is reached at '{host}'.")
