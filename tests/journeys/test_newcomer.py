"""A newcomer's first minutes: one `graphyard up` on an empty home ends with an agent that answered."""

import re
from pathlib import Path

import httpx
import pytest

from tests.journeys.yard import agent
from tests.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]


async def test_one_command_leads_to_an_answer(absent: Stack) -> None:
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

    answer = await agent(told["echo-agent"]).runs.wait(None, "echo", input={"text": "hello"})
    assert isinstance(answer, dict)
    assert answer["result"] == "HELLO"

    again = absent.graphyard("up").stdout
    assert "langgraph deploy --remote --name" not in again
    assert told["echo-agent"] in again

    status = absent.graphyard("status").stdout
    [line] = [line.split() for line in status.splitlines() if line.startswith("echo-agent ")]
    deployment = httpx.get(
        f"{absent.url}/v2/deployments/{line[3]}", headers={"X-Api-Key": absent.api_key}
    ).raise_for_status()
    assert deployment.json()["name"] == "echo-agent"
    assert line == ["echo-agent", "READY", "1", deployment.json()["id"], told["echo-agent"]]
    assert absent.graphyard("logs", "echo-agent").stdout.strip()
