"""A table of queues in numbers, and which of them stand still."""

from dataclasses import asdict, replace
from typing import Any

import pytest

from dataplane.local.pulse import Pulse, work

IDLE = Pulse(
    open=True, open_for=3600, pending=0, oldest=None, busy=0, of=10, asked=0.2, taken=3600
)  # fmt: skip
WAITING: dict[str, Any] = {"pending": 3, "oldest": 70.0}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "moves"),
        ({"pending": None}, "moves"),
        (WAITING, "stuck: 3 runs wait for 70 s, 0 of 10 workers busy"),
        ({"pending": 1, "oldest": 61.0}, "stuck: 1 run waits for 61 s, 0 of 10 workers busy"),
        # Not yet, or for a reason.
        ({"pending": 3, "oldest": 59.0}, "moves"),
        ({**WAITING, "busy": 1}, "moves"),
        ({**WAITING, "busy": 10, "asked": 500.0}, "moves"),
        ({**WAITING, "taken": 2.0}, "moves"),
        # A server that has just begun finds what waited while there was none.
        ({"pending": 3, "oldest": 4000.0, "open_for": 5.0}, "moves"),
        ({"asked": 21.0, "open_for": 5.0}, "moves"),
        # The loop that takes runs is gone, whether any wait or not.
        ({"asked": 21.0}, "stuck: its queue has not asked for runs for 21 s"),
        ({"asked": 25.0, "pending": None}, "stuck: its queue has not asked for runs for 25 s"),
        ({"asked": 25.0, "busy": 9}, "stuck: its queue has not asked for runs for 25 s"),
        # Not to run anything: it ends, another revision serves, or it has no workers.
        ({**WAITING, "open": False}, None),
        ({**WAITING, "of": 0}, None),
    ],
)
def test_work(change: dict[str, Any], expected: str | None) -> None:
    told = work(replace(IDLE, **change), 60)
    assert (told[0] if told else None) == expected


@pytest.mark.parametrize(
    "said", [None, [], {}, {"open": True}, {**asdict(IDLE), "asked": "long"}, "pulse", 7]
)
def test_what_others_answer_there_is_no_pulse(said: Any) -> None:
    assert Pulse.told(said) is None
    assert Pulse.told(asdict(IDLE)) == IDLE
