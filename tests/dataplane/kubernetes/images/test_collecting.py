"""Which images are taken away, in a real registry of the test's own."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from dataplane.kubernetes.images.collecting import Collecting
from dataplane.kubernetes.images.images import KubernetesImages
from dataplane.kubernetes.images.marks import CREATED
from dataplane.kubernetes.registry import RegistryClient
from dataplane.kubernetes.site import Registry
from sealing import Keyring
from tests.cluster import a_site
from tests.registries import a_registry, push

HOUR = 3600.0
HOME = "yard/agents"


def made(ago: float) -> dict[str, str]:
    return {CREATED: (datetime.now(UTC) - timedelta(seconds=ago)).isoformat(timespec="seconds")}


async def test_what_nobody_needs_goes_and_what_is_fresh_stays(tmp_path: Path) -> None:
    async with a_registry(tmp_path) as place, httpx.AsyncClient(trust_env=False) as http:
        registry = RegistryClient(http, f"http://{place}")
        kept = await push(place, HOME, "src-kept", made(2 * HOUR))
        old = await push(place, HOME, "src-old", made(2 * HOUR))
        fresh = await push(place, HOME, "src-fresh", made(60))
        told = await push(place, HOME, "src-told", made(2 * HOUR))
        beside = await push(place, "yard/another", "v1", made(2 * HOUR))
        collecting = Collecting(HOME, HOUR)
        collecting.remember(told)
        assert await collecting.collect(registry, {kept}) == 1
        assert [await registry.resolve(HOME, one) for one in (kept, old, fresh, told)] == [
            kept,
            None,
            fresh,
            told,
        ]
        assert await registry.resolve("yard/another", beside) == beside
        assert await Collecting(HOME, HOUR).collect(registry, {kept}) == 1, "it was remembered in here only"
        assert await registry.resolve(HOME, told) is None
        assert await Collecting("yard/nobody", HOUR).collect(registry, set()) == 0


async def test_layers_go_after_a_week_and_are_looked_at_once_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", __file__)
    keys = tmp_path / "sealing.keys"
    Keyring.create(keys)
    async with a_registry(tmp_path) as place, httpx.AsyncClient(trust_env=False) as http:
        site = a_site("agents", keys, registry=Registry(f"{place}/yard", f"http://{place}", insecure=True))
        nothing = cast(Any, None)
        images = KubernetesImages(site, nothing, nothing, nothing, nothing)
        registry = RegistryClient(http, f"http://{place}")
        layers = f"{HOME}-layers"
        old = await push(place, layers, "old", made(8 * 24 * HOUR))
        young = await push(place, layers, "young", made(6 * 24 * HOUR))
        assert await images.collect(set()) == 0, "they are no images"
        assert await registry.resolve(layers, old) is None
        assert await registry.resolve(layers, young) == young
        another = await push(place, layers, "another", made(9 * 24 * HOUR))
        assert await images.collect(set()) == 0
        assert await registry.resolve(layers, another) == another


@pytest.mark.parametrize("labels", [{}, {CREATED: "yesterday"}])
async def test_one_that_does_not_say_how_old_it_is(tmp_path: Path, labels: dict[str, str]) -> None:
    """Halves of builds that were killed have no label; the builder's own date is all there is."""
    async with a_registry(tmp_path) as place, httpx.AsyncClient(trust_env=False) as http:
        registry = RegistryClient(http, f"http://{place}")
        await push(place, HOME, "build-0badc0de-1", labels)
        assert await Collecting(HOME, HOUR).collect(registry, set()) == (0 if labels else 1)


async def test_a_registry_that_deletes_nothing(tmp_path: Path) -> None:
    async with a_registry(tmp_path, deletes=False) as place, httpx.AsyncClient(trust_env=False) as http:
        registry = RegistryClient(http, f"http://{place}")
        await push(place, HOME, "src-old", made(2 * HOUR))
        assert await Collecting(HOME, HOUR).collect(registry, set()) == 0
