"""The door as an Ingress: the public name's path, and names of the deployment's own with all that is below them."""

from typing import Any

from dataplane.kubernetes import names
from dataplane.kubernetes.kinds import INGRESS, Manifest, Served
from dataplane.kubernetes.manifests import address, meta
from dataplane.kubernetes.site import Site
from workflows.shapes import Wish


def ingress(site: Site, wish: Wish, served: Served) -> Manifest:
    """In the words of whichever version is served."""
    door, version = site.door, served.version(INGRESS)
    metadata = meta.of_deployment(site, wish, names.agent(wish))
    metadata["annotations"] = {**door.annotations, **metadata["annotations"]}
    backend = _backend(names.agent(wish), old=version.endswith("v1beta1"))
    public = address.host(door)
    rules = [_rule(public, address.prefix(door, wish), backend)]
    rules += [_rule(one, "/", backend) for one in wish.hostnames]
    spec: dict[str, Any] = {"rules": rules}
    if door.ingress_class:
        spec["ingressClassName"] = door.ingress_class
    if door.tls_secret:
        spec["tls"] = [{"hosts": [public], "secretName": door.tls_secret}] if public else []
        # Whoever issues certificates here puts one there; a controller without it shows its own.
        spec["tls"] += [{"hosts": [one], "secretName": f"{one}-tls"} for one in wish.hostnames]
    return {"apiVersion": version, "kind": INGRESS.name, "metadata": metadata, "spec": spec}


def _rule(host: str, path: str, backend: dict[str, Any]) -> dict[str, Any]:
    found = {"path": path, "pathType": "Prefix", "backend": backend}
    return {**({"host": host} if host else {}), "http": {"paths": [found]}}


def _backend(name: str, *, old: bool) -> dict[str, Any]:
    if old:
        return {"serviceName": name, "servicePort": names.PORT}
    return {"service": {"name": name, "port": {"number": names.PORT}}}
