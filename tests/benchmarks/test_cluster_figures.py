"""The figures of the plane on a cluster, as a table: `pytest -s` shows it. Nothing here asserts a time."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmarks import clusters, idling
from tests.benchmarks.table import markdown
from tests.dataplane.kubernetes.grounds import Place, grounds, placed
from tests.shared import shared

STARTING = 120

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


@pytest.fixture
def bare_api(tmp_path: Path) -> Iterator[Path]:
    """The kubeconfig of an API of our own, with nobody behind it who does what it is told."""
    up, down = shared("kube/up"), shared("kube/down")
    if os.geteuid() != 0:
        pytest.skip(f"{up} wants root")
    state = tmp_path / "api"
    # Without a state of its own, `down` would take every cluster of this machine.
    environment = {
        **os.environ,
        "KUBE_STATE": str(state),
        "KUBE_API_PORT": str(_port()),
        "KUBE_ETCD_PORT": str(_port()),
    }
    only = "--control-plane-only"
    try:
        subprocess.run([up, only], env=environment, check=True, timeout=STARTING, stdout=subprocess.DEVNULL)
        yield state / "admin.kubeconfig"
    finally:
        subprocess.run([down, only], env=environment, check=True, timeout=STARTING)


async def test_many_at_rest_and_a_sweep(bare_api: Path) -> None:
    rows = await idling.measure(bare_api)
    print(f"\n{markdown(rows)}")
    assert len(rows) == len(idling.COUNTS) + 1, "a figure is missing"


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with placed() as made:
        yield made


async def test_from_an_image_to_an_agent_that_serves(place: Place, tmp_path: Path) -> None:
    async with grounds(place) as ground:
        rows = await clusters.measure(ground, tmp_path)
    print(f"\n{markdown(rows)}")
    assert len(rows) == 2, "a figure is missing"


def _port() -> int:
    """Free, as is the next: etcd takes two."""
    with socket.socket() as first:
        first.bind(("127.0.0.1", 0))
        return int(first.getsockname()[1])
