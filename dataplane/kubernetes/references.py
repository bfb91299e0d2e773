"""Names of container images: taken apart, and made again with the digest that a revision is held to."""

import re
from dataclasses import dataclass

from dataplane.kubernetes.site import Site
from workflows import names
from workflows.causes import Code, Refused
from workflows.shapes import SourceKind, Wish

BUILT = "agents"
"""The repository of everything that is built here: equal sources share an image, whoever deploys them."""
USUAL_REGISTRY = "docker.io"
USUAL_TAG = "latest"
PART = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?")


@dataclass(frozen=True)
class Name:
    """An image's name in full."""

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    @property
    def place(self) -> str:
        """Without tag and digest."""
        return f"{self.registry}/{self.repository}"

    @property
    def version(self) -> str:
        """What a registry is asked for: the digest, if one is given."""
        return self.digest or self.tag or USUAL_TAG

    def at(self, digest: str) -> str:
        """The same image, held to a digest."""
        return f"{self.place}@{digest}"


def parse(text: str) -> Name:
    """A name as people write it; raises `Refused(IMAGE_REFUSED)` for what is none."""
    place, at, digest = text.strip().partition("@")
    head, slash, last = place.rpartition("/")
    last, colon, tag = last.partition(":")
    host, _, rest = f"{head}{slash}{last}".partition("/")
    if rest and ("." in host or ":" in host or host == "localhost"):
        registry, repository = host, rest
    else:
        registry, repository = USUAL_REGISTRY, f"{head}{slash}{last}"
    if registry == USUAL_REGISTRY and "/" not in repository:
        repository = f"library/{repository}"
    sound = (
        HOST.fullmatch(registry)
        and all(PART.fullmatch(part) for part in repository.split("/"))
        and (not colon or TAG.fullmatch(tag))
        and (not at or DIGEST.fullmatch(digest))
    )
    if not sound:
        raise Refused(
            Code.IMAGE_REFUSED,
            f"{ascii(text[:200])[1:-1]!r} is not an image's name.",
            "Write it like registry.example/team/agent:1.2, in lower case.",
        )
    return Name(registry, repository, tag, digest)


def home(site: Site) -> Name:
    """The repository that builds are kept in."""
    return parse(f"{site.registry.address}/{BUILT}")


def layers(site: Site) -> Name:
    """The repository of what builds have in common."""
    return parse(f"{site.registry.address}/{BUILT}-layers")


def place(site: Site, wish: Wish) -> Name:
    """Where a wish's image is, whichever of its versions."""
    if wish.source is SourceKind.EXTERNAL_DOCKER:
        return parse(wish.image_uri or "")
    if wish.source is SourceKind.INTERNAL_DOCKER:
        return parse(f"{site.registry.address}/{names.slug(wish.name, wish.deployment_id)}")
    return home(site)


def reference(site: Site, wish: Wish) -> str:
    """What nodes pull for a wish whose image is known."""
    if wish.image is None:
        raise ValueError(f"revision {wish.number} of {wish.name} has no image yet")
    return place(site, wish).at(wish.image)
