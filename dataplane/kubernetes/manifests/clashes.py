"""What a pod cannot have twice. The API refuses such a `resource_spec` at once; here it is refused for whoever came by
another way, before anything is applied."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dataplane.kubernetes import names
from dataplane.kubernetes.processes import CONTAINER
from workflows.causes import Code, Refused
from workflows.shapes import Wish

PREFIX = "graphyard-"
"""Of volumes of ours in a user's pod."""


def check(wish: Wish) -> None:
    """Raises `Refused` for names and ports that something else in the pod has."""
    for what, taken in _clashes(wish):
        raise Refused(
            Code.ADMISSION_DENIED,
            f"Of the resource_spec, {what} {taken} is taken: everything in a pod needs its own.",
            "Choose another one.",
        )


def _clashes(wish: Wish) -> Iterator[tuple[str, str]]:
    asked = wish.resources
    others = [*asked.init_containers, *asked.sidecars]
    containers = [CONTAINER, *_names(others)]
    volumes = [*_names(asked.volumes)]
    yield from (("the container name", f"{name!r}") for name in _twice(containers))
    yield from (("the volume name", f"{name!r}") for name in _twice(volumes))
    yield from (("the volume name", f"{name!r}") for name in volumes if name.startswith(PREFIX))
    ports = [port.get("containerPort") for one in asked.sidecars for port in one.get("ports") or ()]
    yield from (("the port", str(port)) for port in ports if port == names.PORT)


def _names(things: Iterable[Mapping[str, Any]]) -> list[str]:
    return [str(one.get("name", "")) for one in things]


def _twice(names_: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names_).items() if count > 1]
