"""Images that somebody else built: a name as it was given, held to what it means now."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from dataplane.kubernetes import references
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.kinds import SECRET, Manifest
from dataplane.kubernetes.logins import address, login_of
from dataplane.kubernetes.references import Name
from dataplane.kubernetes.registry import Denied, RegistryClient, Unfit
from dataplane.kubernetes.site import Site
from workflows.causes import Code, Refused
from workflows.shapes import Image, SourceKind, Wish

TIMEOUT = httpx.Timeout(20, connect=10)


class Foreign:
    """`external_docker` anywhere, `internal_docker` in the plane's own registry."""

    def __init__(self, site: Site, cluster: Cluster) -> None:
        self._site = site
        self._cluster = cluster

    async def resolve(self, wish: Wish, ours: RegistryClient) -> str:
        """The digest of the image that the wish names. Raises `Refused(IMAGE_REFUSED)` where there is none."""
        name, asked = self._name(wish), wish.image_uri or ""
        try:
            async with self._registry(wish, name, ours) as registry:
                digest = await registry.resolve(name.repository, wish.image or name.version)
        except Denied:
            raise Refused(
                Code.IMAGE_REFUSED,
                f"The registry does not show the image {asked}.",
                "Check its name, and name a Secret with credentials in image_pull_secrets.",
            ) from None
        except Unfit as error:
            raise Refused(
                Code.IMAGE_REFUSED, f"The image {asked} cannot be used: {error}.", "Push it anew."
            ) from None
        if digest is None:
            gone = wish.image is not None
            raise Refused(
                Code.IMAGE_GONE if gone else Code.IMAGE_REFUSED,
                f"There is no image {name.at(wish.image) if wish.image else asked}.",
                "Push it again." if gone else "Check its name and tag, and that it was pushed.",
            )
        return digest

    async def image(self, wish: Wish, ours: RegistryClient) -> Image:
        """The image by its digest; which graphs are in it nobody knows."""
        digest = await self.resolve(wish, ours)
        return Image(
            digest=digest,
            source_digest=digest,
            lock_digest="",
            server="",
            builder="",
            python="",
            size=0,
            reused=True,
            defaults=wish.defaults,
        )

    async def exists(self, wish: Wish, ours: RegistryClient) -> bool:
        """Whether it is still there. A registry that does not say leaves that to the nodes."""
        name = self._name(wish)
        try:
            async with self._registry(wish, name, ours) as registry:
                return await registry.resolve(name.repository, wish.image or name.version) is not None
        except (Denied, Unfit, httpx.HTTPError):
            return True

    def _name(self, wish: Wish) -> Name:
        place = references.place(self._site, wish)
        if wish.source is not SourceKind.INTERNAL_DOCKER:
            return place
        given = references.parse(wish.image_uri or place.place)
        if given.place != place.place:
            raise Refused(
                Code.IMAGE_REFUSED,
                f"The image {wish.image_uri} is not in this deployment's repository, {place.place}.",
                "Push it where push-token says, or make a deployment of source external_docker.",
            )
        return given

    @asynccontextmanager
    async def _registry(self, wish: Wish, name: Name, ours: RegistryClient) -> AsyncIterator[RegistryClient]:
        if wish.source is SourceKind.INTERNAL_DOCKER:
            yield ours
            return
        # Never with the plane's own credentials: the name is a stranger's.
        login = login_of(await self._secrets(wish), name.registry, name.repository)
        same = name.registry == references.home(self._site).registry
        url = self._site.registry.api if same else address(name.registry)
        async with httpx.AsyncClient(timeout=TIMEOUT) as http:
            yield RegistryClient(http, url, login)

    async def _secrets(self, wish: Wish) -> list[Manifest]:
        named = [str(one.get("name", "")) for one in wish.resources.image_pull_secrets]
        found = await asyncio.gather(*(self._cluster.get(SECRET, name) for name in named if name))
        return [one for one in found if one is not None]
