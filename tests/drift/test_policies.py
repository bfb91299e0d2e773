"""What a person decides about drift holds: only told, not even looked at, and looked at once more on demand."""

import pytest

from tests.drift import doors
from tests.drift.chart import Chart
from tests.drift.conftest import Ward
from workflows.drift import Field

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]


async def test_with_report_it_is_told_and_left_alone(ward: Ward) -> None:
    patient = ward.next()
    chart = Chart(patient)
    await chart.steady(limit=60)
    await chart.begin()
    await patient.choose("report")
    try:
        await doors.remove_a_link(patient)
        told = await chart.told([Field.LINK], "", "", limit=30)
        assert told.closed_at is None
        await chart.until_state("reported", limit=30)
        await chart.until_swept()
        assert not patient.slots()[1].is_symlink()
        assert (await chart.now())["state"] == "reported"
    finally:
        await patient.choose("repair")
    await chart.steady(limit=30)
    assert patient.slots()[1].is_symlink()
    assert await patient.answers() == "ALIVE"


async def test_paused_nobody_looks_and_afterwards_all_is_done(ward: Ward) -> None:
    patient = ward.next()
    chart = Chart(patient)
    await chart.steady(limit=60)
    await chart.begin()
    await patient.choose("paused")
    try:
        await doors.remove_a_link(patient)
        await chart.until_swept()
        assert not patient.slots()[1].is_symlink()
        assert not await chart.news()
        assert (await chart.now())["state"] == "paused"
    finally:
        await patient.choose("repair")
    await chart.told([Field.LINK], "", "", limit=30)
    await chart.steady(limit=30)
    assert patient.slots()[1].is_symlink()
