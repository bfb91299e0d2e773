"""All that we write on a cluster, in every shape that it takes: one list, so that whoever checks it leaves nothing
out that another looks at."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from dataplane.kubernetes import manifests_postgres, manifests_valkey
from dataplane.kubernetes.eviction import eviction
from dataplane.kubernetes.images.order import job, secret
from dataplane.kubernetes.kinds import CNPG_CLUSTER, HTTP_ROUTE, Manifest, Served
from dataplane.kubernetes.remembered import written
from dataplane.kubernetes.site import Door
from tests.dataplane.kubernetes import clusters, test_applied
from tests.dataplane.kubernetes import test_manifests_databases as databases
from tests.dataplane.kubernetes.images import test_recipes as recipes
from tests.dataplane.kubernetes.images.conftest import a_project
from tests.deploy.helm import chart
from workflows.shapes import Flavour, Wish

OTHERS = frozenset({HTTP_ROUTE.name, CNPG_CLUSTER.name, "ServiceMonitor"})
"""Kinds of others, which Kubernetes itself knows nothing of."""

Written = Callable[[Served, Path], Iterator[Manifest]]
"""What is written on a cluster that serves these kinds, with secrets by that keyring."""

PLAIN: Mapping[str, Any] = {}
CONFINED: Mapping[str, Any] = {"resources": clusters.FULL, "hostnames": ["my.example.com"]}
DOORS = {
    "open": Door(public_url="https://agents.example.com", tls_secret="tls"),
    "closed": test_applied.CLOSED,
    "an address": test_applied.OPENED,
    "a gateway": replace(clusters.GATED, sources=test_applied.CLOSED.sources),
}


def servers(
    flavour: Flavour, door: Door, fields: Mapping[str, Any], served: Served, keys: Path
) -> Iterator[Manifest]:
    """A revision and what leads to it."""
    more = {
        "image_uri": "registry.example/theirs/agent:1",
        "secret_references": clusters.REFERENCES,
        **fields,
    }
    wish = clusters.wished(keys, flavour=flavour, **more)
    yield from clusters.made(clusters.here(keys, door=door), wish, served)


def stores(one: Wish, storage_class: str | None, served: Served, keys: Path) -> Iterator[Manifest]:
    """A deployment's Valkey and Postgres, by us and by an operator."""
    where = databases.site(storage_class=storage_class, instances=3)
    yield from databases.everything(where, one)
    yield from manifests_postgres.around(where, one, operated=True)
    yield manifests_postgres.operated(where, one, "postgresql.cnpg.io/v1")
    yield manifests_valkey.stateful_set(where, one, "k1.mark")


def builds(private: Mapping[str, Any], served: Served, keys: Path) -> Iterator[Manifest]:
    """A build and its order."""
    where = recipes.site(**private)
    config = {"pip_config_file": "pip.conf", "dockerfile_lines": ["RUN true"]} if private else {}
    order = recipes.order(recipes.cooked(a_project(config, **{"pip.conf": recipes.PIP})))
    yield job(where, recipes.WISH, order)
    owner = {"metadata": {"name": "build", "uid": "1"}}
    yield secret(where, recipes.WISH, order, "http://api.example/x", owner)


def upkeep(served: Served, keys: Path) -> Iterator[Manifest]:
    """What a plane notes for itself, and how it has a pod ended."""
    yield written("test", "agents", "watched-test", {"0a1b2c3d": (UUID(int=1), "mark")})
    yield eviction(served, "agents", "server-0a1b2c3d-1-x")


def installation(values: chart.Values, served: Served, keys: Path) -> Iterator[Manifest]:
    """The chart's own objects."""
    yield from chart.rendered(values, release=served.release)


EVERYTHING: dict[str, Written] = {
    **{
        f"{flavour} server, {how}": partial(servers, flavour, DOORS[door], fields)
        for flavour in Flavour
        for how, door, fields in (
            ("plain", "open", PLAIN),
            ("behind an address", "an address", PLAIN),
            ("confined", "closed", CONFINED),
            ("in full", "a gateway", test_applied.IN_FULL),
        )
    },
    "databases, plain": partial(stores, databases.WISHES[0], None),
    "databases, in full": partial(stores, databases.WISHES[1], "fast"),
    "a build": partial(builds, {}),
    "a build with secrets": partial(builds, {"username": "me", "password": "hush", "pull_secret": "pull"}),
    "upkeep": upkeep,
    **{f"chart, {name}": partial(installation, values) for name, values in chart.SETS.items()},
}


def ours(case: str, served: Served, keys: Path) -> list[Manifest]:
    """What is made there in this case, of the kinds that Kubernetes knows."""
    return [one for one in EVERYTHING[case](served, keys) if one["kind"] not in OTHERS]
