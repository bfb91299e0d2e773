"""A newcomer's first minutes: one `graphyard up` on an empty home ends with an agent that answered."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.journeys.yard import agent
from tests.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]


@pytest.fixture
def absent() -> Iterator[Stack]:
    directory = Path(tempfile.mkdtemp(prefix="gy-"))
    stack = Stack(directory / "home")
    yield stack
    stack.remove()
    shutil.rmtree(directory)


def processes(home: Path) -> list[psutil.Process]:
    """Everything of a stack, servers and Valkeys too."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        try:
            inherited = process.environ().get("SUPERVISOR_SERVER_URL") == f"unix://{home}/run/supervisor.sock"
        except psutil.Error:
            continue
        if inherited or f"{home}/etc/supervisord.conf" in (process.info["cmdline"] or []):
            found.append(process)
    return found


async def test_one_command_leads_to_an_answer_and_a_kill_of_everything_loses_nothing(
    absent: Stack,
) -> None:
    said = absent.graphyard("up").stdout
    assert "langgraph deploy --remote --name echo-agent" in said
    assert "'HELLO'" in said
    told = dict(
        re.findall(r"^  (everything|echo-agent|Temporal UI|API key) +(?:in )?(\S+)$", said, re.MULTILINE)
    )
    assert told["everything"] == absent.url
    assert told["echo-agent"].startswith(f"{absent.url}/d/echo-agent-")
    assert httpx.get(told["Temporal UI"]).status_code == 200
    assert Path(absent.home.parent, told["API key"]).read_text().strip() == absent.api_key
    assert absent.api_key not in said
    assert len(re.findall(r"^  (?:eval|graphyard|langgraph) ", said, re.MULTILINE)) == 3

    client = agent(told["echo-agent"])
    thread = (await client.threads.create())["thread_id"]
    await client.runs.wait(thread, "echo", input={"text": "remember"})

    again = absent.graphyard("up").stdout
    assert "langgraph deploy --remote --name" not in again
    assert told["echo-agent"] in again

    for process in processes(absent.home):
        process.kill()
    assert "1 of 1 serving" in absent.up()
    state = await client.threads.get_state(thread)
    assert isinstance(state["values"], dict)
    assert state["values"]["result"] == "REMEMBER"

    status = absent.graphyard("status").stdout
    assert re.search(rf"^echo-agent +READY +1  {told['echo-agent']}$", status, re.MULTILINE)
    assert absent.graphyard("logs", "echo-agent").stdout.strip()
