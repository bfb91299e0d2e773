"""Images of a cluster's plane: an archive becomes a container image in a registry, built in a Job; what others built
is found there.

An image is named by its manifest's digest. Before it is built it is known by a key of all that goes into it, which is
its tag: so what exists already is found, not built. Variables never become part of it.
"""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

import httpx
import structlog

from dataplane.images.fetched import THERE, archive_of, fetched
from dataplane.images.inflate import Limits
from dataplane.images.servers import PINNED, ServerPackages
from dataplane.kubernetes import references
from dataplane.kubernetes.cluster import Cluster
from dataplane.kubernetes.images import marks
from dataplane.kubernetes.images.buildlog import line
from dataplane.kubernetes.images.builds import Builds, Lines
from dataplane.kubernetes.images.collecting import Collecting
from dataplane.kubernetes.images.ending import Broken, locked_out
from dataplane.kubernetes.images.foreign import Foreign
from dataplane.kubernetes.images.marks import image_of
from dataplane.kubernetes.images.plots import FORMAT, Plot, Plots
from dataplane.kubernetes.logins import Login
from dataplane.kubernetes.registry import Denied, Described, RegistryClient
from dataplane.kubernetes.site import Site
from dataplane.plane import Sources, Tell
from sealing import Keyring
from workflows.causes import Refused
from workflows.lines import Level
from workflows.shapes import Flavour, Image, Plan, SourceKind, Wish

log = structlog.get_logger()

MEGABYTE = 1024 * 1024
USUAL = Limits(packed=200 * MEGABYTE, unpacked=1024 * MEGABYTE, files=20_000, ratio=200)
DAY = 86400.0
LAYERS_KEPT = 7 * DAY
"""Then they are made anew, and with them what was resolved from a range of versions."""
TIMEOUT = httpx.Timeout(30, connect=10)


class Links(Protocol):
    """Addresses that authorise themselves."""

    async def link(self, upload_id: UUID) -> str:
        """Where a source archive may be fetched once and soon, by somebody who shows nothing else: a path below the
        address at which builds reach the API."""


class KubernetesImages:
    """`dataplane.plane.Images` by Jobs and a registry."""

    def __init__(
        self,
        site: Site,
        cluster: Cluster,
        sources: Sources,
        links: Links,
        lines: Lines,
        *,
        limits: Limits = USUAL,
        servers: Mapping[Flavour, ServerPackages] = PINNED,
        grace: float = 3600,
    ) -> None:
        self._site = site
        self._sources = sources
        self._links = links
        self._lines = lines
        self._servers = servers
        self._keyring = Keyring.load(site.keys)
        self._builds = Builds(site, cluster, lines)
        self._foreign = Foreign(site, cluster)
        self._collecting = Collecting(references.home(site).repository, grace)
        self._layers = Collecting(references.layers(site).repository, LAYERS_KEPT)
        self._layers_due = 0.0
        self._plots = Plots(site, servers, limits)

    async def preflight(self, wish: Wish) -> Plan:
        """Refuse within seconds what cannot become an image."""
        async with self._asked_for(wish) as registry:
            if wish.source is not SourceKind.INTERNAL_SOURCE:
                digest = await self._foreign.resolve(wish, registry)
                return Plan(source_digest=digest, python="", graphs=[])
            if (made := await self._made(registry, wish)) is not None:
                image = image_of(made)
                return Plan(source_digest=image.source_digest, python=image.python, graphs=image.graphs)
            try:
                async with fetched(self._sources, archive_of(wish, THERE)) as file:
                    plot = await self._plots.plot(registry, file, wish)
            except Refused as refused:
                await self._say(wish, str(refused.cause), "ERROR")
                raise
        # Whoever sees that it is being built asks for its log.
        await self._introduce(plot, wish)
        return Plan(
            source_digest=plot.found.source_digest, python=plot.python, graphs=list(plot.found.project.graphs)
        )

    async def build(self, wish: Wish, tell: Tell) -> Image:
        """The image of the wish: found, or built. What fails leaves nothing behind."""
        async with self._asked_for(wish) as registry:
            if wish.source is not SourceKind.INTERNAL_SOURCE:
                return await self._foreign.image(wish, registry)
            if (made := await self._made(registry, wish)) is not None:
                self._collecting.remember(made.digest)
                return image_of(made, reused=True, defaults=wish.defaults)
            try:
                return await self._find_or_build(registry, wish, tell)
            except Refused as refused:
                await self._say(wish, str(refused.cause), "ERROR")
                raise

    async def collect(self, keep: set[str]) -> int:
        """Remove the images that nobody may need; the number removed. Once a day old layers go, too: of these there are
        a dozen to a build."""
        async with self._registry() as registry:
            if time.monotonic() >= self._layers_due:
                self._layers_due = time.monotonic() + DAY
                await self._layers.collect(registry, set())
            return await self._collecting.collect(registry, keep)

    async def exists(self, wish: Wish) -> bool:
        """Whether a wish's image is where nodes would pull it from."""
        if wish.image is None:
            return False
        async with self._registry() as registry:
            if wish.source is SourceKind.EXTERNAL_DOCKER:
                return await self._foreign.exists(wish, registry)
            repository = references.place(self._site, wish).repository
            return await registry.resolve(repository, wish.image) is not None

    async def _made(self, registry: RegistryClient, wish: Wish) -> Described | None:
        """The image that the wish names itself, if it is there and of its flavour."""
        if wish.image is None:
            return None
        found = await registry.describe(self._home, wish.image)
        return found if found is not None and found.labels.get(marks.FLAVOUR) == wish.flavour else None

    async def _find_or_build(self, registry: RegistryClient, wish: Wish, tell: Tell) -> Image:
        began = time.monotonic()
        async with fetched(self._sources, archive_of(wish, THERE)) as file:
            plot = await self._plots.plot(registry, file, wish)
        made = await registry.describe(self._home, plot.tag)
        reused = made is not None
        if made is None:
            made = await self._build(registry, wish, plot, tell)
        self._collecting.remember(made.digest)
        what = "exists already; nothing was built" if reused else f"built in {time.monotonic() - began:.1f} s"
        await self._say(wish, f"Image {made.digest}: {what}")
        values = plot.found.variables.values
        defaults = self._keyring.seal_map(values, str(wish.deployment_id)) if values else None
        return image_of(made, reused=reused, defaults=defaults)

    async def _build(self, registry: RegistryClient, wish: Wish, plot: Plot, tell: Tell) -> Described:
        order = self._plots.order(wish, plot)

        async def link() -> str:
            path = await self._links.link(archive_of(wish, THERE).upload_id)
            return f"{self._site.builder_reaches.rstrip('/')}{path}"

        raw = await self._builds.run(wish, order, link, tell)
        told = marks.told(
            key=plot.key,
            flavour=wish.flavour,
            source=plot.found.source_digest,
            lock=raw.lock,
            server=self._servers[wish.flavour].name,
            builder=f"graphyard-{FORMAT} {plot.builder.rpartition('@')[2]}",
            python=plot.python,
            graphs=list(plot.found.project.graphs),
            created=datetime.now(UTC),
        )
        try:
            found = await self._name(registry, plot, raw.digest, told)
        except (Broken, Denied):
            await self._builds.done(wish)
            raise
        if raw.digest != found.digest:
            await self._collecting.drop(registry, raw.digest)
        await self._builds.done(wish)
        return found

    async def _name(
        self, registry: RegistryClient, plot: Plot, digest: str, told: Mapping[str, str]
    ) -> Described:
        """What was built, by its final name."""
        # Whoever built the same at the same time was first: a name that was told may not lose its tag.
        found = await registry.describe(self._home, plot.tag)
        if found is None and (named := await registry.relabel(self._home, digest, told, plot.tag)):
            found = await registry.describe(self._home, named)
        # Or had the same bytes, and took the first name away.
        found = found or await registry.describe(self._home, plot.tag)
        if found is None:
            raise Broken("what was built is not in the registry any more")
        return found

    async def _introduce(self, plot: Plot, wish: Wish) -> None:
        found = plot.found
        await self._say(
            wish,
            f"Revision {wish.number}: {len(found.tree.files)} files, graphs {', '.join(found.project.graphs)}; "
            f"Python {plot.python}, {self._servers[wish.flavour].name}",
        )
        for remark in found.project.remarks:
            await self._say(wish, remark, "WARNING")
        for name in found.variables.left_out:
            await self._say(wish, f"env: {name} is left out: it is not the agent's to set")

    async def _say(self, wish: Wish, text: str, level: Level = "INFO") -> None:
        at = time.time_ns()
        await self._lines([line(wish, text, f"build/{wish.number}/plane", at, at=at, level=level)])

    @property
    def _home(self) -> str:
        return references.home(self._site).repository

    @asynccontextmanager
    async def _asked_for(self, wish: Wish) -> AsyncIterator[RegistryClient]:
        """The registry, for a revision: where it refuses us, trying again would only be refused again."""
        async with self._registry() as registry:
            try:
                yield registry
            except Denied:
                refused = locked_out("looking for images")
                await self._say(wish, str(refused.cause), "ERROR")
                raise refused from None

    @asynccontextmanager
    async def _registry(self) -> AsyncIterator[RegistryClient]:
        ours = self._site.registry
        async with httpx.AsyncClient(timeout=TIMEOUT) as http:
            yield RegistryClient(http, ours.api, Login(ours.username, ours.password))
