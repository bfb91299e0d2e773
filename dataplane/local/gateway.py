"""The gateway's whole configuration, as a value: written once for a stack and never changed while it runs.

Every reload of Caddy cuts idle client connections, so what changes are links in a directory (`slots`), and
the route finds them by the digits in the path. Keep-alive to the servers must be off: a pooled connection
would keep leading to the old revision.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dataplane.local.slots import SLOTS

DEPLOYMENT = "^/d/([a-z0-9-]+-([0-9a-f]{8}))(/|$)"
INTERNAL = ["X-Graphyard-Probe", "X-Plane-Token"]
"""Headers that only processes of the stack may send each other."""
GRACE = "10s"


def configuration(home: Path, listen: str, prefix: str = "") -> str:
    """Caddy's JSON. `listen` is `host:port`; `prefix` is the path of the public address, if it has one."""
    routes = [*_below(prefix), _internal(), _deployment(home), _api(home)]
    config = {
        "admin": {"disabled": True, "config": {"persist": False}},
        "logging": {"logs": {"default": {"level": "WARN", "encoder": {"format": "json"}}}},
        "apps": {
            "http": {
                "grace_period": GRACE,
                "servers": {
                    "door": {
                        "listen": [listen],
                        "automatic_https": {"disable": True},
                        "routes": routes,
                        "errors": {"routes": [_unavailable()]},
                    }
                },
            }
        },
    }
    return json.dumps(config, indent=1)


def _below(prefix: str) -> list[dict[str, Any]]:
    """Callers may come with the public address's path, or through a proxy that took it away."""
    if not prefix.strip("/"):
        return []
    return [{"handle": [{"handler": "rewrite", "strip_path_prefix": "/" + prefix.strip("/")}]}]


def _internal() -> dict[str, Any]:
    return {
        "match": [{"path": ["/internal", "/internal/*"]}],
        "handle": [_answer(404, "There is nothing here.")],
        "terminal": True,
    }


def _deployment(home: Path) -> dict[str, Any]:
    known = {"file": {"root": f"{home}/run/up", "try_files": ["/{http.regexp.dep.1}.on"]}}
    return {
        "match": [{"path_regexp": {"name": "dep", "pattern": DEPLOYMENT}}],
        "handle": [
            {
                "handler": "subroute",
                "routes": [
                    {
                        "match": [{"not": [known]}],
                        "handle": [_answer(404, "No deployment answers at this address.")],
                        "terminal": True,
                    },
                    {
                        "match": [{"path_regexp": {"pattern": "^/d/[a-z0-9-]+/graphyard(/|$)"}}],
                        "handle": [_answer(404, "There is nothing here.")],
                        "terminal": True,
                    },
                    {
                        "handle": [
                            {
                                "handler": "rewrite",
                                "path_regexp": [{"find": "^/d/[a-z0-9-]+/?", "replace": "/"}],
                            },
                            _proxy([f"{home}/run/up/{{http.regexp.dep.2}}.{slot}" for slot in range(SLOTS)]),
                        ]
                    },
                ],
            }
        ],
        "terminal": True,
    }


def _api(home: Path) -> dict[str, Any]:
    return {"handle": [_proxy([f"{home}/run/api.sock"])], "terminal": True}


def _proxy(sockets: Sequence[str]) -> dict[str, Any]:
    return {
        "handler": "reverse_proxy",
        "flush_interval": -1,
        "transport": {"protocol": "http", "keep_alive": {"enabled": False}},
        "load_balancing": {
            "selection_policy": {"policy": "round_robin"},
            "retries": 250,
            "try_duration": "5s",
            "try_interval": "20ms",
        },
        "headers": {"request": {"delete": INTERNAL}},
        "upstreams": [{"dial": f"unix/{socket}"} for socket in sockets],
    }


def _unavailable() -> dict[str, Any]:
    """For a server that is down: an answer that clients can read, with Caddy's own status."""
    return {
        "handle": [_answer("{http.error.status_code}", "The server behind this address does not answer now.")]
    }


def _answer(status: int | str, detail: str) -> dict[str, Any]:
    return {
        "handler": "static_response",
        "status_code": status,
        "headers": {"Content-Type": ["application/json"]},
        "body": json.dumps({"detail": detail}),
    }
