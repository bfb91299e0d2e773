"""Workflows that began under yesterday's code end under today's: recorded histories replay.

There is a folder for every release, and what a release recorded is never touched again: its workflows may run
still. When a change of commands is meant (behind a patch, or before the release), record this one's anew:
`GRAPHYARD_RECORD=1 python -m pytest tests/workflows/test_histories.py`.
"""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from tests.workflows.endings import ENDINGS, WARD_ENDINGS, Ids
from tests.workflows.ward import Ward
from tests.workflows.yard import LIMIT, Yard
from worker.queues import WORKFLOWS, runner

HISTORIES = Path(__file__).parents[1] / "histories"
RELEASES = ("0.1.0", "0.2.0")
NOW = HISTORIES / RELEASES[-1]
RECORD = os.environ.get("GRAPHYARD_RECORD") == "1"


@pytest.fixture
def replayer() -> Replayer:
    return Replayer(workflows=WORKFLOWS, data_converter=pydantic_data_converter, workflow_runner=runner())


@pytest.mark.parametrize("ending", ENDINGS)
async def test_what_ends_now_replays(yard: Yard, replayer: Replayer, ending: str) -> None:
    await replayed(yard.client, replayer, await ENDINGS[ending](yard))


@pytest.mark.parametrize("ending", WARD_ENDINGS)
async def test_what_takes_long_replays(ward: Ward, replayer: Replayer, ending: str) -> None:
    await replayed(ward.client, replayer, await WARD_ENDINGS[ending](ward))


async def replayed(client: Client, replayer: Replayer, ids: Ids) -> None:
    for name, workflow_id in ids.items():
        handle = client.get_workflow_handle(workflow_id)
        if not workflow_id.startswith("watch-"):
            async with asyncio.timeout(LIMIT):
                await handle.result()
        history = await handle.fetch_history()
        await replayer.replay_workflow(history)
        assert (NOW / f"{name}.json").is_file() or RECORD, "record it"
        if RECORD:
            text = json.dumps(placeless(json.loads(history.to_json())), separators=(",", ":"))
            NOW.mkdir(exist_ok=True)
            (NOW / f"{name}.json").write_text(text + "\n")


def placeless(found: Any) -> Any:
    """Without stack traces: they tell where the recorder's checkout lay, and no replay looks at them."""
    if isinstance(found, dict):
        return {key: "" if key == "stackTrace" else placeless(value) for key, value in found.items()}
    return [placeless(value) for value in found] if isinstance(found, list) else found


RECORDED = sorted(HISTORIES.glob("*/*.json"))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: f"{path.parent.name}/{path.stem}")
async def test_what_was_recorded_replays(replayer: Replayer, path: Path) -> None:
    await replayer.replay_workflow(WorkflowHistory.from_json(path.stem, path.read_text()))


def test_every_release_has_its_histories() -> None:
    assert {path.parent.name for path in RECORDED} == set(RELEASES)


def test_every_workflow_has_a_history() -> None:
    recorded = [path.stem for path in NOW.glob("*.json")]
    for workflow in WORKFLOWS:
        assert any(name.startswith(workflow.__name__.lower()) for name in recorded)
