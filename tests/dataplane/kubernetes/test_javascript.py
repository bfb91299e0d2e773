"""An agent in TypeScript on a cluster: built on the base that has Node.js, proved graph by graph, and it runs."""

import asyncio
import json
from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.cluster import DOOR
from tests.dataplane.contract import built, hear, proved
from tests.dataplane.kubernetes.grounds import Place, grounds, placed
from tests.journeys.yard import agent, pack
from workflows import names

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

FILES = {
    "langgraph.json": json.dumps(
        {"node_version": "22", "dependencies": ["."], "graphs": {"shout": "./agent.ts:graph"}}
    ),
    "package.json": json.dumps(
        {
            "name": "shouting",
            "version": "1.0.0",
            "type": "module",
            "private": True,
            "dependencies": {
                "@langchain/core": "^1.0.0",
                "@langchain/langgraph": "1.0.2",
                "@langchain/langgraph-checkpoint": "1.0.0",
            },
        }
    ),
    "agent.ts": """import { Annotation, StateGraph } from "@langchain/langgraph";
const State = Annotation.Root({ text: Annotation<string>, result: Annotation<string> });
export const graph = new StateGraph(State)
  .addNode("shout", async (state) => ({ result: state.text.toUpperCase() }))
  .addEdge("__start__", "shout")
  .addEdge("shout", "__end__")
  .compile();
""",
}


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with placed() as made:
        yield made


async def test_an_agent_in_typescript_is_built_and_runs(place: Place) -> None:
    async with grounds(place) as ground:
        deployment = uuid4()
        wish = ground.wish(deployment, ground.uploaded(pack(FILES)))
        plan = await ground.plane.images.preflight(wish)
        assert plan.graphs == ["shout"]
        wish = await built(ground.plane, wish)
        try:
            await ground.plane.databases.provision(wish)
            await proved(ground.plane, wish)
            await ground.plane.servers.switch(wish)
            async with asyncio.timeout(60):
                answer = await agent(f"{DOOR}/d/{names.slug('agent', deployment)}").runs.wait(
                    None, "shout", input={"text": "loud"}
                )
            assert isinstance(answer, dict)
            assert answer["result"] == "LOUD"
            await ground.plane.servers.retire(wish, hear)
        finally:
            await ground.plane.servers.remove(wish)
            await ground.plane.databases.remove(wish)
