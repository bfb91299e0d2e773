"""All figures of one run, as the table that the README shows: `make bench`. Nothing here asserts a time."""

import os
import platform
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from tests.benchmarks import drift, memory, rollouts, rows, sweeps, temporal
from tests.benchmarks.table import Row, markdown
from tests.journeys.yard import Yard, project
from tests.stack import Stack

IDLE_SECONDS = 65
MORE = 19

pytestmark = [pytest.mark.stack, pytest.mark.timeout(3600)]


async def test_figures(fresh_stack: Stack, make_database: Callable[[str], str], migrated: str) -> None:
    stack = fresh_stack
    client = await Client.connect(stack.temporal_address, data_converter=pydantic_data_converter)
    async with Yard(stack.url, stack.api_key) as yard:
        table: list[Row] = []
        deployment = (await yard.create("bench-one"))["id"]
        await yard.deployed(deployment, await yard.push(deployment, project()))
        first = await temporal.spent(client, deployment)
        await yard.deployed(deployment, await yard.push(deployment, {**project(), "NOTES.md": "again"}))
        second = await temporal.spent(client, deployment)
        hour = await temporal.idle(client, IDLE_SECONDS)
        alone = await memory.weigh(stack)
        table += await rollouts.measure(stack, yard)
        table += await drift.measure(stack, yard)
        count = await fill(yard, MORE)
        table += memory.rows(alone, await memory.weigh(stack), count - 1)
        table += temporal.rows(first, Counter(second) - Counter(first), hour, IDLE_SECONDS, 1)
        table += await rows.measure(stack, yard)
    table += await sweeps.measure(make_database, migrated)
    print(f"\n{machine()}\n\n{markdown(table)}")
    assert len(table) >= 29, "a figure is missing"


async def fill(yard: Yard, more: int) -> int:
    """Have one and `more` deployments serve; answers how many do."""
    page = await yard.call("GET", "/v2/deployments?limit=100")
    serving = len(page["resources"])
    for index in range(1 + more - serving):
        made = await yard.create(f"fill-{index}")
        await yard.deployed(made["id"], await yard.push(made["id"], project()))
    return 1 + more


def machine() -> str:
    """What this ran on."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    name = names[0].partition(":")[2].strip() if names else platform.machine()
    memory_gb = psutil.virtual_memory().total / 2**30
    return f"{os.cpu_count()} cores ({name}), {memory_gb:.0f} GiB, Python {platform.python_version()}"
