"""What the entry cures in the server, on a real one."""

from uuid import UUID

from langgraph_sdk import get_client

from tests.dataplane.local.yard import Yard

LATE = """
import asyncio
from typing import TypedDict
from langgraph.graph import END, START, StateGraph
import langgraph_runtime_pg.ops as ops

class State(TypedDict, total=False):
    text: str
    result: str

async def late(state):
    await asyncio.sleep(2)
    return {"result": state["text"].upper()}

look_up = ops.Runs.get

async def slow(*arguments, **named):
    await asyncio.sleep(1)
    return await look_up(*arguments, **named)

ops.Runs.get = staticmethod(slow)
graph = StateGraph(State).add_node(late).add_edge(START, "late").add_edge("late", END).compile()
"""
"""A run that ends while it is looked up, as on a busy machine: first as the answer begins, which takes a second, then
after half a second of silence, and so from 1.5 s to 2.5 s."""


async def test_a_run_that_ends_while_it_is_looked_up_is_answered_whole(yard: Yard, deployment: UUID) -> None:
    image = yard.variant({"late.py": LATE}, {"late": "late.py:graph"})
    await yard.roll(yard.wish(deployment, image=image))
    client = get_client(url=yard.address(deployment), api_key="unused")
    for _ in range(3):
        assert await client.runs.wait(None, "late", input={"text": "x"}) == {"text": "x", "result": "X"}
    thread = (await client.threads.create())["thread_id"]
    run = await client.runs.create(thread, "late", input={"text": "y"})
    assert await client.runs.join(thread, run["run_id"]) == {"text": "y", "result": "Y"}
    assert await client.runs.join(thread, run["run_id"]) == {"text": "y", "result": "Y"}
