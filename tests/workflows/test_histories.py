"""Workflows that began under yesterday's code end under today's: recorded histories replay.

When a change of commands is meant (behind a patch, or before any release), record anew:
`GRAPHYARD_RECORD=1 python -m pytest tests/workflows/test_histories.py`.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from tests.workflows.endings import ENDINGS
from tests.workflows.yard import Yard
from worker.queues import WORKFLOWS, runner

HISTORIES = Path(__file__).parents[1] / "histories"
RECORD = os.environ.get("GRAPHYARD_RECORD") == "1"


@pytest.fixture
def replayer() -> Replayer:
    return Replayer(workflows=WORKFLOWS, data_converter=pydantic_data_converter, workflow_runner=runner())


@pytest.mark.parametrize("ending", ENDINGS)
async def test_what_ends_now_replays(yard: Yard, replayer: Replayer, ending: str) -> None:
    for name, workflow_id in (await ENDINGS[ending](yard)).items():
        await yard.completed(workflow_id)
        history = await yard.client.get_workflow_handle(workflow_id).fetch_history()
        await replayer.replay_workflow(history)
        assert (HISTORIES / f"{name}.json").is_file() or RECORD, "record it"
        if RECORD:
            text = json.dumps(placeless(json.loads(history.to_json())), separators=(",", ":"))
            (HISTORIES / f"{name}.json").write_text(text + "\n")


def placeless(found: Any) -> Any:
    """Without stack traces: they tell where the recorder's checkout lay, and no replay looks at them."""
    if isinstance(found, dict):
        return {key: "" if key == "stackTrace" else placeless(value) for key, value in found.items()}
    return [placeless(value) for value in found] if isinstance(found, list) else found


@pytest.mark.parametrize("path", sorted(HISTORIES.glob("*.json")), ids=lambda path: path.stem)
async def test_what_was_recorded_replays(replayer: Replayer, path: Path) -> None:
    await replayer.replay_workflow(WorkflowHistory.from_json(path.stem, path.read_text()))


def test_every_workflow_has_a_history() -> None:
    recorded = [path.stem for path in HISTORIES.glob("*.json")]
    for workflow in WORKFLOWS:
        assert any(name.startswith(workflow.__name__.lower()) for name in recorded)
