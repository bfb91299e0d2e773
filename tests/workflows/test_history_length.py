"""Histories stay small: however often a deployment is nudged, and however long nobody does."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from temporalio.api.history.v1 import HistoryEvent

from tests.workflows.ward import Ward
from workflows import names
from workflows.accounts import Finder, Notice
from workflows.deployment import Deployment
from workflows.mending import State
from workflows.shapes import Wish

NUDGES = 20_000
AT_ONCE = 200
"""Nudges before one is waited for: no server renews a run while it is nudged without a pause."""
LONGEST = 10_000
"""Events that a run may have: from 10,240 on Temporal warns, and at 51,200 it ends the workflow."""
DAY = 24 * 3600.0


async def test_twenty_thousand_nudges(ward: Ward) -> None:
    wish = await ward.admit()
    handle = ward.entity(wish)
    first = (await handle.describe()).run_id

    async def nudge(number: int) -> None:
        if number % 2:
            await handle.signal(Deployment.look)
        else:
            await handle.signal(Deployment.inspect, Notice(by=Finder.WATCH, at=datetime.now(UTC)))

    for start in range(0, NUDGES, AT_ONCE):
        seen = len(ward.ledger.accounts)
        await asyncio.gather(*(nudge(number) for number in range(start, start + AT_ONCE)))
        await ward.told(State.STEADY, after=seen)
    await ward.rested(wish)
    seen = len(ward.ledger.accounts)
    ward.memory.injuries.lose_replica(wish.deployment_id)
    await ward.inspect(wish)
    await ward.told(State.REPAIRING, after=seen)
    await ward.told(State.STEADY, after=seen)
    await ward.rested(wish)

    lengths, signals = [], 0
    async for events in runs(ward, wish, first):
        lengths.append(len(events))
        signals += sum(event.HasField("workflow_execution_signaled_event_attributes") for event in events)
    assert signals == NUDGES + 1
    assert len(lengths) >= 4
    assert max(lengths) < LONGEST, lengths
    # Whatever comes while a look is taken is one more look.
    assert ward.ledger.reads < NUDGES / 10


async def test_it_is_renewed_in_the_middle_of_a_pause(ward: Ward) -> None:
    wish = await ward.admit()
    ill, injuries = wish.deployment_id, ward.memory.injuries
    handle = ward.entity(wish)
    first = (await handle.describe()).run_id
    injuries.lasting(ill, lambda: injuries.lose_replica(ill))
    await ward.inspect(wish)
    for repairs in range(1, 4):
        await ward.skip_until(lambda repairs=repairs: ward.memory.calls["repair"] >= repairs)  # type: ignore[misc]
    assert ward.memory.calls["repair"] == 3
    # The fourth comes 18 seconds after the third, in whichever run that is.
    for start in range(0, 5_000, AT_ONCE):
        notice = Notice(by=Finder.WATCH, at=datetime.now(UTC))
        signals = (handle.signal(Deployment.inspect, notice) for _ in range(start, start + AT_ONCE))
        await asyncio.gather(*signals)
    await ward.skip(10)
    assert len([run async for run in runs(ward, wish, first)]) >= 2
    assert ward.memory.calls["repair"] == 3
    await ward.skip_until(lambda: State.GIVEN_UP in ward.states, step=60)
    assert ward.memory.calls["repair"] == 7


async def test_a_day_in_which_nothing_happens_adds_nothing(ward: Ward) -> None:
    wish = await ward.admit()
    await ward.inspect(wish)
    await ward.told(State.STEADY)
    await ward.rested(wish)
    before = (await ward.entity(wish).describe()).history_length
    await ward.skip(DAY)
    assert (await ward.entity(wish).describe()).history_length == before


async def runs(ward: Ward, wish: Wish, first: str | None) -> AsyncIterator[list[HistoryEvent]]:
    """The histories of all its runs, the first one first."""
    run = first
    while run:
        handle = ward.client.get_workflow_handle(names.deployment_workflow(wish.deployment_id), run_id=run)
        events = list((await handle.fetch_history()).events)
        yield events
        run = events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id
