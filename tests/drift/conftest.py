"""The patients of the injury table, and its account at the end of the session."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field

import pytest

from tests.drift.chart import Chart
from tests.drift.patient import Patient, admit
from tests.journeys.yard import Yard
from tests.stack import Stack, running

ONES = 3
"""Deployments that take turns, so that no two injuries in a row are to the same: a repair counts as held only
after half a minute, and one that is hurt every few seconds is looked at less often."""
INJURY = "injury"
BEDS = pytest.StashKey[ExitStack]()
SETTINGS = {
    "GRAPHYARD_SWEEP_SECONDS": "3",
    "GRAPHYARD_STUCK_SECONDS": "4",
    "GRAPHYARD_ORPHAN_SECONDS": "4",
    "GRAPHYARD_DRAIN_SECONDS": "2",
}


@dataclass(frozen=True)
class Line:
    """What is printed of one injury; times in seconds from the injury on."""

    injury: str
    noticed: float | None
    told: float | None
    explained: str
    repaired: float | None


@dataclass
class Ward:
    """The patients of one stack."""

    stack: Stack
    ones: list[Patient] = field(default_factory=list)
    two: Patient | None = None
    turn: int = 0

    def next(self, *, two: bool = False) -> Patient:
        if two:
            assert self.two is not None
            return self.two
        self.turn += 1
        return self.ones[self.turn % len(self.ones)]


@pytest.fixture(scope="session")
def admitted(pytestconfig: pytest.Config) -> Ward:
    """A stack of its own, quick to sweep, with everybody in bed; gone after the last test of this folder."""
    beds = pytestconfig.stash[BEDS] = ExitStack()
    ward = Ward(beds.enter_context(running(SETTINGS)))
    asyncio.run(_admit(ward))
    return ward


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """A stack that sweeps so often would take a quarter of a core from all tests that follow."""
    if nextitem is None or item.path.parent not in nextitem.path.parents:
        item.config.stash.get(BEDS, ExitStack()).close()


async def _admit(ward: Ward) -> None:
    async with Yard(ward.stack.url, ward.stack.api_key) as yard:
        # One after the other the first time, so that the packages are resolved once.
        ward.ones.append(await admit(ward.stack, yard, "one-0"))
        more = [admit(ward.stack, yard, f"one-{index}") for index in range(1, ONES)]
        *ones, ward.two = await asyncio.gather(*more, admit(ward.stack, yard, "two", replicas=2))
        ward.ones += ones
        # What happens within a moment of our own doing is taken for ours: let the watch come to rest first.
        await Chart(ward.ones[0]).until_swept()


@pytest.fixture
async def ward(admitted: Ward) -> AsyncIterator[Ward]:
    """The patients, with a caller of this test's own."""
    async with Yard(admitted.stack.url, admitted.stack.api_key) as yard:
        for patient in [*admitted.ones, admitted.two]:
            assert patient is not None
            patient.yard = yard
        yield admitted


@pytest.fixture
def account(record_property: Callable[[str, object], None]) -> Callable[[Line], None]:
    """Takes down what came of an injury; it travels with the test's report, whichever process ran it."""
    return lambda line: record_property(INJURY, asdict(line))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [one for said in ("passed", "failed") for one in terminalreporter.stats.get(said, [])]
    lines = [Line(**told) for one in reports for name, told in one.user_properties if name == INJURY]
    if not lines:
        return
    terminalreporter.section("injuries")
    terminalreporter.write_line(f"{'injury':52} {'noticed':>8} {'told':>7} {'repaired':>9}  explained as")
    for line in lines:
        times = f"{_seconds(line.noticed):>8} {_seconds(line.told):>7} {_seconds(line.repaired):>9}"
        terminalreporter.write_line(f"{line.injury[:52]:52} {times}  {line.explained}")


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"
