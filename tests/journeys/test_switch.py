"""A revision switch under steady load: ten keep-alive clients, runs and streams among them, and no request
fails.
"""

import asyncio

import pytest

from tests.journeys.load import loaded
from tests.journeys.yard import Yard, project
from tests.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


async def test_no_request_fails_during_a_switch(stack: Stack) -> None:
    async with Yard(stack.url, stack.api_key) as yard:
        made = await yard.create("switch", {"ECHO_PREFIX": "old-"})
        found = await yard.deployed(
            made["id"], await yard.push(made["id"], project(), {"ECHO_PREFIX": "old-"})
        )
        async with loaded(found["url"]) as load:
            for prefix in ("new-", "newer-"):
                revision = await yard.revise(made["id"], secrets=[{"name": "ECHO_PREFIX", "value": prefix}])
                await yard.deployed(made["id"], revision)
                await yard.retired(made["id"], revision)
                told = len(load.prefixes)
                while len(load.prefixes) < told + 20:
                    await asyncio.sleep(0.05)
        assert not load.failures, load.failures[:5]
        assert load.answers["stream"] >= 2, load.answers
        assert load.prefixes[0][1] == "old-X"
        assert load.prefixes[-1][1] == "newer-X"
        await yard.delete(made["id"])
        await yard.until_gone(made["id"])
