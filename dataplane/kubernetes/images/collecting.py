"""Taking away the images that nobody may need any more; what is fresh is spared, whoever keeps it."""

import time
from datetime import UTC, datetime

import httpx
import structlog

from dataplane.kubernetes.images.marks import age
from dataplane.kubernetes.registry import Denied, RegistryClient

log = structlog.get_logger()

UNSUPPORTED = 405
"""A registry that deletes nothing; what it keeps is its keeper's."""


class Collecting:
    """One repository's."""

    def __init__(self, repository: str, grace: float) -> None:
        self._repository = repository
        self._grace = grace
        self._fresh: dict[str, float] = {}

    def remember(self, digest: str) -> None:
        """Somebody was just told of it, and may not have put that on record yet."""
        self._fresh[digest] = time.monotonic()

    async def collect(self, registry: RegistryClient, keep: set[str]) -> int:
        """The number removed."""
        now = time.monotonic()
        self._fresh = {digest: at for digest, at in self._fresh.items() if now - at < self._grace}
        spared = keep | set(self._fresh)
        # A manifest that is deleted takes all its tags along, so each digest is judged once.
        found: set[str] = set()
        async for tag in registry.tags(self._repository):
            digest = await registry.resolve(self._repository, tag)
            if digest is not None and digest not in spared:
                found.add(digest)
        removed = 0
        for digest in sorted(found):
            described = await registry.describe(self._repository, digest)
            made = age(described, datetime.now(UTC)) if described else None
            # It may have been asked for since.
            if made is not None and made > self._grace and digest not in self._fresh:
                removed += await self.drop(registry, digest)
        return removed

    async def drop(self, registry: RegistryClient, digest: str) -> bool:
        """Take one away, where the registry lets us."""
        try:
            return await registry.delete(self._repository, digest)
        except Denied:
            log.info("an image may not be removed", digest=digest)
        except httpx.HTTPStatusError as error:
            if error.response.status_code != UNSUPPORTED:
                raise
        return False
