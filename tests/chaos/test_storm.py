"""Hundreds of rollouts while a seeded killer takes down any process of the stack every few seconds.

`GRAPHYARD_SEED` repeats a storm; `GRAPHYARD_STORM=<deployments>,<rollouts>,<seconds between kills>` makes it
smaller or wilder.
"""

import asyncio
import os
import secrets
import time
from collections.abc import Iterator

import pytest

from tests.chaos import reckoning
from tests.chaos.counts import what_exists
from tests.chaos.developer import Developer
from tests.chaos.killer import Killer, Operator
from tests.chaos.reckoning import Account
from tests.journeys.yard import Yard
from tests.stack import Stack

SIZE = "10,300,6"
AT_ONCE = 3
"""Deployments that are moved at the same time: a start takes some four seconds of one of two cores."""
PATIENCE = 300.0


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Iterator[list[str]]:
    """Lines for whoever watches, printed whatever becomes of the test."""
    lines: list[str] = []
    yield lines
    with capsys.disabled():
        print("\n" + "\n".join(lines))


@pytest.mark.chaos
@pytest.mark.stack
@pytest.mark.timeout(7200)
async def test_a_storm_loses_nothing(fresh_stack: Stack, told: list[str]) -> None:
    stack = fresh_stack
    seed = int(os.environ.get("GRAPHYARD_SEED") or secrets.randbelow(10**6))
    count, rollouts, pace = (float(part) for part in os.environ.get("GRAPHYARD_STORM", SIZE).split(","))
    told.append(f"storm {seed}: GRAPHYARD_SEED={seed} GRAPHYARD_STORM={count:.0f},{rollouts:.0f},{pace:g}")
    killer, operator, began = Killer(stack, seed, pace), Operator(stack), time.monotonic()
    async with Yard(stack.url, stack.api_key, patience=PATIENCE) as yard:
        developers = [
            Developer(yard, (await yard.create(f"storm-{index}"))["id"], index, seed)
            for index in range(int(count))
        ]
        leaving = Developer(yard, (await yard.create("leaving"))["id"], len(developers), seed)
        for developer in (*developers, leaving):
            await developer.begin()

        turn = asyncio.Semaphore(AT_ONCE)
        each, more = divmod(int(rollouts), len(developers))
        calm = time.monotonic()
        striking, watching = asyncio.create_task(killer.run()), asyncio.create_task(operator.run())
        try:
            async with asyncio.TaskGroup() as group:
                for developer in developers:
                    group.create_task(developer.live(each + (developer.index < more), turn))
                group.create_task(_leave(leaving, turn))
        finally:
            striking.cancel()
            took = time.monotonic() - calm
            told.append(f"{killer.strikes} strikes in {took:.0f} s: {dict(killer.killed.most_common())}")
            told.append(f"`graphyard up` was needed {operator.ups} times {operator.failed or ''}")
        ids = [developer.id for developer in developers]
        wrong = await reckoning.eventually(lambda: reckoning.on_the_machine(stack, ids))
        watching.cancel()
        accounts = [await reckoning.accounted(developer) for developer in developers]
        told += _table(developers, accounts)
        wrong += await reckoning.eventually(lambda: reckoning.in_temporal(stack, ids))
        wrong += await reckoning.eventually(lambda: reckoning.without_drift(yard, ids))
        if any(left := (await what_exists(stack, leaving.id)).values()):
            wrong.append(f"of what was deleted there is left: {left}")
        wrong += [
            f"storm-{developer.index}: {said}"
            for developer, account in zip(developers, accounts, strict=True)
            for said in account.wrong
        ]
        told.append(f"{time.monotonic() - began:.0f} s in all; wrong: {len(wrong)}")
    assert not wrong, "\n".join(wrong)
    assert killer.strikes >= rollouts / 10, "hardly anything was killed"


async def _leave(developer: Developer, turn: asyncio.Semaphore) -> None:
    """Be deleted in the middle of it all."""
    async with turn:
        await developer.wish()
        await developer.yard.call("DELETE", f"/v2/deployments/{developer.id}")
        await developer.yard.until_gone(developer.id, limit=PATIENCE)


def _table(developers: list[Developer], accounts: list[Account]) -> list[str]:
    statuses = sorted({status for account in accounts for status in account.statuses})
    head = f"{'deployment':<12}{'accepted':>9}{'unanswered':>11}"
    lines = [head + "".join(f"{status:>15}" for status in statuses) + f"{'threads':>9}{'slowest':>9}"]
    for developer, account in zip(developers, accounts, strict=True):
        line = f"{f'storm-{developer.index}':<12}{len(developer.told):>9}{account.unanswered:>11}"
        line += "".join(f"{account.statuses[status]:>15}" for status in statuses)
        lines.append(line + f"{len(developer.threads):>9}{developer.slowest:>7.0f} s")
    return lines
