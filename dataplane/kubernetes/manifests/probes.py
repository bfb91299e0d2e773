"""When a server counts as up, as ready, and as beyond help. None of them asks for its databases: all servers would be
taken from the door at once when one of those is away for a moment, and be restarted for it."""

import math
from typing import Any

from dataplane.kubernetes import names
from dataplane.kubernetes.site import Site

PATH = "/ok"
LEAST_START = 600
"""Seconds to come up in; the plane, which knows whether it still says something, gives up earlier."""
LEAST_HANG = 120


def probes(site: Site) -> dict[str, Any]:
    """The three of them."""
    asks = {"httpGet": {"path": PATH, "port": names.PORT}}
    start = max(LEAST_START, site.progress_seconds * 5)
    # Before this the plane has looked into it itself, and restarted it with what it said on record.
    hang = max(LEAST_HANG, site.stuck_seconds * 3)
    return {
        "startupProbe": {
            **asks,
            "periodSeconds": 1,
            "timeoutSeconds": 5,
            "failureThreshold": math.ceil(start),
        },
        # Code that blocks for some seconds is no reason to send callers away.
        "readinessProbe": {**asks, "periodSeconds": 2, "timeoutSeconds": 5, "failureThreshold": 5},
        "livenessProbe": {
            **asks,
            "periodSeconds": 10,
            "timeoutSeconds": 10,
            "failureThreshold": math.ceil(hang / 10),
        },
    }
