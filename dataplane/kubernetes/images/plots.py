"""What is to be built from an archive, settled to the last word before anything is begun: what it is built on and by,
the Dockerfile, and the key that is its name while it has no digest.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

import httpx

from dataplane.images.config import elsewhere
from dataplane.images.fetched import THERE, archive_of
from dataplane.images.inflate import Limits
from dataplane.images.powers import Powers
from dataplane.images.servers import ServerPackages
from dataplane.images.study import Study, study
from dataplane.images.threads import in_thread
from dataplane.kubernetes import names, references
from dataplane.kubernetes.images import pythons
from dataplane.kubernetes.images.dockerfile import Recipe, recipe
from dataplane.kubernetes.images.order import Order, cacheable
from dataplane.kubernetes.logins import address
from dataplane.kubernetes.registry import RegistryClient
from dataplane.kubernetes.site import Site
from workflows.causes import Code, Refused
from workflows.shapes import Flavour, Wish

FORMAT = 1
"""Of what is built; a new one makes new keys, so that old images are never taken for new ones."""
MOST_WRITTEN = 700_000
"""Bytes that an order may hold: it lies in a Secret."""
INSTEAD = "Leave GRAPHYARD_SERVER out of the deployment's secrets."
TIMEOUT = httpx.Timeout(30, connect=10)


@dataclass(frozen=True)
class Plot:
    """What is to be built, settled to the last word."""

    found: Study
    recipe: Recipe
    base: str
    python: str
    key: str
    builder: str
    """The base's and the builder's names with their digests."""

    @property
    def tag(self) -> str:
        return f"src-{self.key[:40]}"


class Plots:
    """Those of one plane."""

    def __init__(self, site: Site, servers: Mapping[Flavour, ServerPackages], limits: Limits) -> None:
        self._site = site
        self._servers = servers
        self._limits = limits
        self._powers = Powers(containers=True, node=bool(site.images.node_server))

    async def plot(self, registry: RegistryClient, file: BinaryIO, wish: Wish) -> Plot:
        """What is to be built from an archive; refuses what cannot become an image."""
        archive, server = archive_of(wish, THERE), self._servers[wish.flavour]
        found = await in_thread(lambda halt: study(file, archive, server, self._limits, halt, self._powers))
        project = found.project
        python = pythons.choose(
            wish.flavour, project.python, found.declarations.needs, self._site.images.server
        )
        node = project.node or bool(project.raw.get("node_version") or project.raw.get("ui"))
        if node and wish.flavour is not Flavour.PG:
            raise elsewhere(
                "JavaScript", f"this plane's server for it is 'pg', not '{wish.flavour}'", INSTEAD
            )
        await in_thread(lambda _: found.check_names(python))
        named = (
            self._site.images.node_server if node else self._site.images.server[f"{wish.flavour}-{python}"]
        )
        base = await self._held(registry, named)
        builder = await self._held(registry, self._site.images.builder)
        made = await in_thread(lambda _: recipe(found, archive, base, python))
        parts = [
            FORMAT,
            found.source_digest,
            base.rpartition("@")[2],
            wish.flavour,
            python,
            builder.rpartition("@")[2],
        ]
        parts += [
            made.dockerfile,
            # Two projects of one tree may read alike and lie in different places.
            made.root,
            sorted(made.contexts.items()),
            sorted(hashlib.sha256(one.encode()).hexdigest() for one in made.secrets.values()),
        ]
        key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
        plot = Plot(found, made, base, python, key, builder)
        written = sum(map(len, self.order(wish, plot).written.values())) + len(made.dockerfile)
        if written > MOST_WRITTEN:
            raise Refused(
                Code.CONFIG_INVALID,
                "langgraph.json: together with the Dockerfile made of it, it is too large to be sent to a build.",
                "Move what is long in it into files of the project.",
            )
        return plot

    def order(self, wish: Wish, plot: Plot) -> Order:
        """The same as a build is told."""
        replaced = plot.found.replaced
        prefix = references.home(self._site).place
        return Order(
            key=plot.key,
            base=plot.base,
            builder=plot.builder,
            image=f"{prefix}:{names.build(wish)}",
            sha256=archive_of(wish, THERE).sha256.removeprefix("sha256:"),
            recipe=plot.recipe,
            written={path: text.decode() for path, text in replaced.items() if text is not None},
            left=tuple(sorted(path for path, text in replaced.items() if text is None)),
            cache=references.layers(self._site).place if cacheable(self._site, plot.recipe) else "",
        )

    async def _held(self, registry: RegistryClient, named: str) -> str:
        """An image of ours by its digest."""
        name = references.parse(named)
        if name.digest:
            return name.at(name.digest)
        ours = name.registry == references.home(self._site).registry
        if ours:
            digest = await registry.resolve(name.repository, name.version)
        else:
            async with httpx.AsyncClient(timeout=TIMEOUT) as http:
                other = RegistryClient(http, address(name.registry))
                digest = await other.resolve(name.repository, name.version)
        if digest is None:
            raise Refused(
                Code.IMAGE_REFUSED,
                f"The plane's own image {named} is not in its registry.",
                "Whoever keeps the plane has to push it (deploy/images/build).",
            )
        return name.at(digest)
