"""The door through a Gateway: a route for the public name's path, and one for names of the deployment's own."""

from collections.abc import Iterator, Sequence
from typing import Any

from dataplane.kubernetes import names
from dataplane.kubernetes.kinds import HTTP_ROUTE, Manifest, Served
from dataplane.kubernetes.manifests import address, meta
from dataplane.kubernetes.site import Site
from workflows.shapes import Wish


def routes(site: Site, wish: Wish, served: Served) -> Iterator[Manifest]:
    """Rules belong to all names of a route, so that two are needed where there are names of one's own."""
    name, public = names.agent(wish), address.host(site.door)
    yield _route(site, wish, served, name, [public] if public else [], address.prefix(site.door, wish))
    if wish.hostnames:
        yield _route(site, wish, served, f"{name}-hosts", wish.hostnames, "/")


def _route(site: Site, wish: Wish, served: Served, name: str, hosts: Sequence[str], path: str) -> Manifest:
    metadata = meta.of_deployment(site, wish, name)
    metadata["annotations"] = {**site.door.annotations, **metadata["annotations"]}
    namespace, _, gateway = site.door.gateway.rpartition("/")
    rule = {
        "matches": [{"path": {"type": "PathPrefix", "value": path}}],
        "backendRefs": [{"name": names.agent(wish), "port": names.PORT}],
    }
    spec: dict[str, Any] = {
        "parentRefs": [{"name": gateway, "namespace": namespace or site.namespace}],
        "rules": [rule],
    }
    if hosts:
        spec["hostnames"] = list(hosts)
    return {
        "apiVersion": served.version(HTTP_ROUTE),
        "kind": HTTP_ROUTE.name,
        "metadata": metadata,
        "spec": spec,
    }
