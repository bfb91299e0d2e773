"""What is being done to deployments by ourselves, so that the watch tells our doing from everybody else's.

In memory only: the plane's worker does and watches in one process. What another worker of the plane does, objects
tell by their field manager; what it deletes is told once too often, which costs a look.
"""

import contextlib
import math
import time
from collections import defaultdict
from collections.abc import Iterator
from uuid import UUID

SETTLE = 1.0
"""Seconds in which what a deed has set off may still happen, and be told."""
KEPT = 60.0
"""Seconds for which ended deeds are kept, for a watch that is late."""


class Ours:
    """Our deeds of the last minute, by deployment: from when to when, in seconds since 1970."""

    def __init__(self) -> None:
        self._spans: defaultdict[UUID, list[list[float]]] = defaultdict(list)

    @contextlib.contextmanager
    def during(self, deployment_id: UUID) -> Iterator[None]:
        """Whatever changes about the deployment in here is our doing. May be nested, and entered by several
        at once."""
        self._clean()
        span = [time.time(), math.inf]
        self._spans[deployment_id].append(span)
        try:
            yield
        finally:
            span[1] = time.time()

    def covers(self, deployment_id: UUID, first: float, last: float) -> bool:
        """Whether what changed some time between these two moments may be our doing."""
        spans = self._spans.get(deployment_id, ())
        return any(begun <= last and first <= ended + SETTLE for begun, ended in spans)

    def _clean(self) -> None:
        oldest = time.time() - KEPT
        for deployment_id, spans in list(self._spans.items()):
            spans[:] = [span for span in spans if span[1] >= oldest]
            if not spans:
                del self._spans[deployment_id]
