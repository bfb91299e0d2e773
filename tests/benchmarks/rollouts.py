"""How long a rollout takes against its own bare parts, measured in turns so that a noisy minute hits both."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.by_hand import ByHand
from tests.benchmarks.table import Row, ratio
from tests.journeys.yard import Yard, project
from tests.stack import Stack

TIMES = 3


async def measure(stack: Stack, yard: Yard) -> list[Row]:
    first: list[float] = []
    hand: list[float] = []
    for index in range(TIMES):
        # A declaration of its own each time, so that both sides have to resolve.
        files = varied(index)
        with by_hand(stack) as made:
            began = time.perf_counter()
            made.unpack(files)
            made.resolve()
            made.install()
            made.databases()
            await made.serve()
            hand.append(time.perf_counter() - began)
        deployment = (await yard.create(f"bench-{index}"))["id"]
        began = time.perf_counter()
        await yard.deployed(deployment, await yard.push(deployment, files))
        first.append(time.perf_counter() - began)
    return [
        ratio("first deploy against the same steps by hand", first, hand, 1.1),
        *await revisions(stack, yard, deployment, files),
    ]


async def revisions(stack: Stack, yard: Yard, deployment: str, files: dict[str, str]) -> list[Row]:
    """Code only, secrets only, and back to an older one; against build and start, against a bare start."""
    code: list[float] = []
    secrets: list[float] = []
    back: list[float] = []
    built: list[float] = []
    started: list[float] = []
    with by_hand(stack) as made:
        made.unpack(files)
        made.resolve()
        made.databases()
        for index in range(TIMES):
            shutil.rmtree(made.root / "venv", ignore_errors=True)
            began = time.perf_counter()
            made.install()
            between = time.perf_counter()
            await made.serve()
            built.append(time.perf_counter() - began)
            started.append(time.perf_counter() - between)
            made.stop_server()

            began = time.perf_counter()
            changed = {**files, "NOTES.md": f"change {index}"}
            of_code = await yard.push(deployment, changed)
            await yard.deployed(deployment, of_code)
            code.append(time.perf_counter() - began)

            began = time.perf_counter()
            value = [{"name": "ECHO_PREFIX", "value": f"{index}-"}]
            await yard.deployed(deployment, await yard.revise(deployment, secrets=value))
            secrets.append(time.perf_counter() - began)

            began = time.perf_counter()
            again = await yard.call("POST", f"/v2/deployments/{deployment}/revisions/{of_code}/redeploy")
            await yard.deployed(deployment, again["latest_revision_id"])
            back.append(time.perf_counter() - began)
    return [
        ratio("code-only revision against bundle build and server start", code, built, 1.3),
        ratio("secrets-only revision against a bare server start", secrets, started, 1.5),
        ratio("redeploy of an older revision against a bare server start", back, started, 1.5),
    ]


def varied(index: int) -> dict[str, str]:
    """The example with one declaration that nobody resolved before; what gets installed is the same."""
    files = project()
    text = files["pyproject.toml"]
    assert '"langgraph>=1,' in text, "the example's declaration changed"
    files["pyproject.toml"] = text.replace('"langgraph>=1,', f'"langgraph>=1.0.{index},', 1)
    return files


@contextmanager
def by_hand(stack: Stack) -> Iterator[ByHand]:
    root = Path(tempfile.mkdtemp(prefix="gy-hand-"))
    made = ByHand(root, stack.postgres_admin_dsn)
    try:
        yield made
    finally:
        made.clean()
        shutil.rmtree(root)
