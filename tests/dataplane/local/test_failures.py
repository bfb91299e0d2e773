"""Real servers that cannot come up: each is told within seconds, with its last words and no secret."""

import asyncio
import time
from uuid import UUID

import httpx
import pytest

from tests.dataplane.local.yard import PROGRESS, Yard
from workflows.causes import Code, Refused

SECRET = "Marker-sk-123456"
GOOD = """
from langgraph.graph import START, MessagesState, StateGraph
graph = StateGraph(MessagesState).add_node("n", lambda s: {}).add_edge(START, "n").compile()
"""
CASES: dict[str, tuple[str, Code, str]] = {
    "missing package": ("import nonexistent_thing\n", Code.IMPORT_FAILED, "nonexistent_thing"),
    "syntax": ("def f(:\n  pass\n", Code.IMPORT_FAILED, "SyntaxError"),
    "environment": ("import os\nos.environ['OPENAI_API_KEY']\n", Code.ENVIRONMENT_MISSING, "OPENAI_API_KEY"),
    "memory": (
        "import time\nb = []\nfor i in range(300):\n    b.append(bytearray(10 << 20)); time.sleep(0.01)\n",
        Code.OUT_OF_MEMORY,
        "700 MB",
    ),
    "one huge piece": ("b = bytearray(64 << 30)\n", Code.OUT_OF_MEMORY, "memory"),
    "dies at once": ("import os\nos._exit(7)\n", Code.CRASH_LOOP, "3 times"),
}


@pytest.mark.parametrize("case", CASES)
async def test_what_cannot_heal_is_told(yard: Yard, deployment: UUID, case: str) -> None:
    code, expected, word = CASES[case]
    leak = "import os, sys\nprint('my key is', os.environ.get('MY_KEY'), flush=True)\n"
    image = yard.variant({"agent.py": leak + code}, {"agent": "agent.py:graph"})
    wish = yard.wish(deployment, environment={"MY_KEY": SECRET}, image=image, memory_mb=700)
    await yard.plane.databases.provision(wish)
    await yard.plane.servers.apply(wish)
    began = time.monotonic()
    with pytest.raises(Refused) as refused:
        await yard.plane.servers.until_ready(wish, lambda said: None)
    cause = refused.value.cause
    assert cause.code is expected, cause.message
    assert word in cause.message
    assert cause.fix
    assert SECRET not in cause.message
    assert "my key is" in cause.message or len(cause.message.splitlines()) > 15
    assert len(cause.message.splitlines()) <= 25
    assert time.monotonic() - began < PROGRESS / 2, "told because it was recognised, not because time ran out"
    await yard.plane.servers.discard(wish)
    assert (await yard.plane.servers.observe(wish)).resources == []


async def test_one_that_hangs_is_given_up_after_a_while(yard: Yard, deployment: UUID) -> None:
    image = yard.variant({"agent.py": "import time\ntime.sleep(3600)\n"}, {"agent": "agent.py:graph"})
    wish = yard.wish(deployment, image=image)
    await yard.plane.databases.provision(wish)
    await yard.plane.servers.apply(wish)
    told: list[str] = []
    with pytest.raises(Refused) as refused:
        await yard.another(progress_seconds=6).servers.until_ready(wish, told.append)
    assert refused.value.cause.code is Code.NO_PROGRESS
    assert told
    await yard.plane.servers.discard(wish)


async def test_a_graph_that_cannot_answer_fails_the_proof(yard: Yard, deployment: UUID) -> None:
    """With a door of the project's own before it: the proof goes past that door."""
    variables = {"LANGGRAPH_AUTH": {"path": "graphyard-source:auth.py:auth"}}
    files = {
        "agent.py": GOOD + "def broken(config):\n    raise ValueError('no model today')\n",
        "auth.py": (
            "from langgraph_sdk import Auth\nauth = Auth()\n@auth.authenticate\n"
            "async def who(authorization):\n    raise Auth.exceptions.HTTPException(status_code=401)\n"
        ),
    }
    good = yard.variant(files, {"good": "agent.py:graph"}, variables)
    wish = yard.wish(deployment, image=good)
    await yard.roll(wish)
    bad = yard.variant(files, {"good": "agent.py:graph", "bad": "agent.py:broken"}, variables)
    worse = yard.wish(deployment, 2, image=bad)
    await yard.plane.servers.apply(worse)
    await yard.plane.servers.until_ready(worse, lambda said: None)
    with pytest.raises(Refused, match="'bad' does not answer") as refused:
        await yard.plane.servers.prove(worse)
    assert refused.value.cause.code is Code.PROOF_FAILED
    await yard.plane.servers.discard(worse)
    assert (await yard.plane.servers.observe(wish)).serving == 1
    async with httpx.AsyncClient() as client:
        address = f"{yard.address(deployment)}/assistants/search"
        answers = await asyncio.gather(*(client.post(address, json={}) for _ in range(300)))
    # Refused before it was read, and told so, though the gateway was still writing.
    assert {one.status_code for one in answers} == {401}
