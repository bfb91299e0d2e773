"""One way of looking at all deployments of a machine, and what it has shown so far."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from dataplane.local.traces import Signature

log = structlog.get_logger()

Taken = dict[str, Signature]
"""What a look found, by deployment."""


@dataclass
class Look:
    """One way of looking, and what it found."""

    name: str
    take: Callable[[], Awaitable[Taken | None]]
    news: Callable[[Signature, Signature], list[str]]
    when: Callable[[str], tuple[float, float] | None] = lambda thing: None
    """Between which moments a thing became what it is, if that can be told; else since the last look."""
    lasts: bool = False
    """What it shows of our own doing is not taken for granted, but looked at again once we are done."""
    known: Taken | None = None
    """As it was last told of; None before the very first look."""
    found: Taken = field(default_factory=dict)
    began: float = 0.0
    """When the last look that got an answer began; what it did not show happened after that."""
    since: float = 0.0
    """When the one before it began."""
    failing: bool = False
    pending: bool = False
    """Whether something differs that is not told of yet."""

    async def look(self) -> float | None:
        """Look once, and say since when there may be news; None where there is nothing to compare."""
        began = time.time()
        try:
            found = await self.take()
        except Exception as error:  # whatever one look stumbles over, the others go on
            if not self.failing:
                log.warning("the watch cannot look", look=self.name, error=type(error).__name__)
            self.failing, found = True, None
        else:
            self.failing = False
        if found is None:
            return None
        if found is self.found:
            # Nobody looked anew; only what could not be told the last time may be told now.
            return self.since if self.pending else None
        self.since, self.began, self.found = self.began, began, found
        if self.known is None:
            self.known = found
            return None
        return self.since
