"""What looks like ours and is on no record is listed, never touched before its time, and never if it holds data
or somebody else made it, unless somebody asks."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.drift import agent, leftovers
from tests.drift.conftest import Line, Ward
from tests.drift.leftovers import Ghost, Thing
from tests.drift.patient import Patient

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

LIMIT = 40.0


async def test_leftovers_are_listed_and_only_ours_and_empty_ones_go(
    ward: Ward, account: Callable[[Line], None]
) -> None:
    hands = ward.next()
    dead = await buried(hands)
    unknown = Ghost("stranger", UUID("0badc0de" + uuid4().hex[8:]), hands)
    try:
        began = time.time()
        ours = {await leave(dead): leave for leave in leftovers.EMPTY}
        data = {await leave(dead): leave for leave in leftovers.FULL}
        theirs = {await leave(unknown): leave for leave in (*leftovers.EMPTY, *leftovers.FULL)}
        found = await until_listed(hands, {*ours, *data, *theirs})
        account(Line("leftovers, twelve kinds", None, time.time() - began, "orphans", None))
        assert {thing for thing, one in found.items() if one["holds_data"]} == {
            thing for thing, leave in {**data, **theirs}.items() if leave in leftovers.FULL
        }
        await until_gone(hands, set(ours))
        account(Line("leftovers of ours, empty", None, None, "removed", time.time() - began))
        still = await until_listed(hands, {*data, *theirs})
        for one in still.values():
            await ask_removal(hands, one)
        await until_gone(hands, {*data, *theirs})
    finally:
        await hands.dismiss()


async def buried(hands: Patient) -> Ghost:
    """A deployment that lived once, and of which the records know nothing any more but what it owned."""
    yard = hands.yard
    deployment = (await yard.create("ghost"))["id"]
    revision = await yard.push(
        deployment, agent.files("ghost"), {"FLAGS": str(hands.flags)}, {"min_scale": 2}
    )
    await yard.deployed(deployment, revision)
    await yard.delete(deployment)
    await yard.until_gone(deployment)
    return Ghost("ghost", UUID(deployment), hands)


async def until_listed(hands: Patient, things: set[Thing]) -> Mapping[Thing, Any]:
    """These orphans, once all of them are listed."""
    deadline = time.monotonic() + LIMIT
    while True:
        listed = await orphans(hands)
        if things <= listed.keys():
            return {thing: listed[thing] for thing in things}
        assert time.monotonic() < deadline, f"not listed: {things - listed.keys()}; only {sorted(listed)}"
        await asyncio.sleep(0.2)


async def until_gone(hands: Patient, things: set[Thing]) -> None:
    deadline = time.monotonic() + LIMIT
    while left := things & (await orphans(hands)).keys():
        assert time.monotonic() < deadline, f"still there: {left}"
        await asyncio.sleep(0.2)


async def orphans(hands: Patient) -> dict[Thing, Any]:
    """What the plane's drift resource lists."""
    found = await hands.yard.call("GET", "/v2/listeners/local/drift")
    return {(one["kind"], one["name"]): one for one in found["orphans"]}


async def ask_removal(hands: Patient, orphan: Mapping[str, Any]) -> None:
    await hands.yard.call("DELETE", f"/v2/listeners/local/orphans/{orphan['id']}")
