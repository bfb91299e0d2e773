"""Whatever is done to a deployment from outside is found, called by its name, repaired, and costs nothing: no
data, and no revision."""

import time
from collections.abc import Callable

import pytest

from tests.drift.chart import Chart
from tests.drift.conftest import Line, Ward
from tests.drift.injuries import TABLE, WISHES, Inflict, Injury
from tests.drift.patient import Patient

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

ROWS = [pytest.param(one, id=one.name, marks=[pytest.mark.chaos] if one.chaos else []) for one in TABLE]
FOUND_WITHIN = 45.0
"""Generous, as the machine is shared; what is usual is in the account that is printed."""


@pytest.mark.parametrize("injury", ROWS)
async def test_an_injury_heals(ward: Ward, account: Callable[[Line], None], injury: Injury) -> None:
    patient = ward.next(two=injury.two)
    chart = Chart(patient)
    await chart.steady(limit=60)
    await chart.begin()
    revisions = await revisions_of(patient)
    try:
        began = time.time()
        await injury.inflict(patient)
        told = await chart.told(injury.fields, injury.seen, injury.evidence, FOUND_WITHIN)
        if injury.cure is not None:
            await injury.cure(patient)
        await chart.steady(limit=injury.within)
        assert await patient.answers() == "ALIVE"
        if injury.empties:
            await patient.remember()
        assert await patient.recall() == patient.remembered
        assert await revisions_of(patient) == revisions, "a repair made a revision"
        mine = next(one for one in chart.all if one.key == told.key)
        assert mine.outcome == "repaired", mine
    finally:
        await patient.dismiss()
    assert mine.closed_at is not None
    times = [moment - began for moment in (mine.noticed_at, mine.found_at, mine.closed_at)]
    account(Line(injury.name, times[0], times[1], told.sentence, times[2]))


@pytest.mark.parametrize("lose", [pytest.param(one, id=one.__name__) for one in WISHES])
async def test_a_wish_that_nobody_acts_on_comes_true(
    ward: Ward, account: Callable[[Line], None], lose: Inflict
) -> None:
    patient = ward.next()
    await Chart(patient).steady(limit=60)
    before = await revisions_of(patient)
    began = time.time()
    await lose(patient)
    latest = (await patient.yard.deployment(patient.id))["latest_revision_id"]
    await patient.yard.until(patient.id, latest, {"DEPLOYED"}, limit=60)
    took = time.time() - began
    patient.number += 1
    await Chart(patient).steady(limit=60)
    assert await patient.answers() == "ALIVE"
    assert await patient.recall() == patient.remembered
    assert await revisions_of(patient) == [latest, *before], "one wish is one revision"
    account(Line(f"wish: {lose.__name__.replace('_', ' ')}", None, None, "it came true", took))


async def revisions_of(patient: Patient) -> list[str]:
    """All of them, newest first."""
    found = await patient.yard.call("GET", f"/v2/deployments/{patient.id}/revisions?limit=100")
    return [one["id"] for one in found["resources"]]
