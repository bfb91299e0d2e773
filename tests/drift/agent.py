"""An agent that falls ill on demand, as a project's files.

What it is to suffer is a file in the directory that its variable FLAGS names, taken away the moment it is
read: a run that dies half-way is taken up again by the next server, which must stay well.
"""

from tests.journeys.yard import project

GRAPH = """
import asyncio
import os
import time
from pathlib import Path

from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

FLAGS = Path(os.environ["FLAGS"])

if (FLAGS / "exit").exists():
    print("a flag says that nobody shall live here", flush=True)
    os._exit(7)


class Words(TypedDict, total=False):
    text: str
    result: str


def told(name):
    try:
        (FLAGS / name).unlink()
    except OSError:
        return False
    return True


async def nobody(*arguments, **named):
    await asyncio.sleep(0.1)
    return
    yield


async def act(state):
    if told("stall"):
        from langgraph_runtime_pg import ops

        ops.Runs.next = staticmethod(nobody)
    if told("quit"):
        for task in asyncio.all_tasks():
            if getattr(task.get_coro(), "__qualname__", "") == "queue_with_signal":
                asyncio.get_running_loop().call_later(0.3, task.cancel)
    if told("block"):
        time.sleep(3600)
    if told("eat"):
        eaten = []
        while True:
            eaten.append(b"x" * (48 << 20))
            await asyncio.sleep(0.02)
    return {"result": state.get("text", "").upper()}


graph = StateGraph(Words).add_node(act).add_edge(START, "act").add_edge("act", END).compile(name="patient")
"""
CONFIG = '{"python_version": "3.11", "dependencies": ["."], "graphs": {"patient": "./patient.py:graph"}}'
FLAGS = ("exit", "stall", "quit", "block", "eat")


def files(name: str) -> dict[str, str]:
    """The project; each name gets an image of its own, so that one that is damaged is damaged for one."""
    declared = project()["pyproject.toml"].replace("echo_agent", "patient")
    return {"pyproject.toml": declared, "langgraph.json": CONFIG, "patient.py": GRAPH, "NAME": name}
