"""Two graphs that need no model, no key and no network, so a fresh stack has something to run.

`echo` shouts its `text` back. On the way it can dawdle (`seconds`), stop to ask a person (`ask`) or break
(`fail`): whatever a run, a stream, an interrupt or a rolling restart has to cope with, it can be asked to do.
`chat` shouts the last message back word by word, through a chat model that is made of nothing, so that
`stream_mode="messages"` has tokens to show.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from operator import add
from typing import Annotated, Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict

TICK = 0.2
BETWEEN_WORDS = 0.02


class Echo(TypedDict, total=False):
    """What goes in (`text`, `seconds`, `ask`, `fail`) and what comes of it."""

    text: str
    seconds: float
    ask: bool
    fail: bool
    result: str
    answer: Any
    pid: int
    steps: Annotated[list[str], add]


async def upper(state: Echo) -> Echo:
    """Shout; `ECHO_PREFIX` in front tells one revision's answers from the next one's."""
    if state.get("fail"):
        raise ValueError("this run was asked to fail")
    shouted = state.get("text", "").upper()
    return {"result": os.environ.get("ECHO_PREFIX", "") + shouted, "steps": ["upper"]}


async def nap(state: Echo) -> Echo:
    """Take `seconds`, and say every tick on the custom stream how many are left."""
    say = get_stream_writer()
    remaining = float(state.get("seconds") or 0.0)
    while remaining > 0:
        say({"seconds_left": round(remaining, 2)})
        await asyncio.sleep(min(TICK, remaining))
        remaining -= TICK
    return {"pid": os.getpid(), "steps": ["nap"]}


async def confirm(state: Echo) -> Echo:
    """With `ask`, wait here until somebody resumes the run with an answer."""
    done: Echo = {"steps": ["confirm"]}
    if state.get("ask"):
        done["answer"] = interrupt({"question": "Is this loud enough?", "result": state.get("result")})
    return done


echo = (
    StateGraph(Echo)
    .add_sequence([upper, nap, confirm])
    .add_edge(START, "upper")
    .add_edge("confirm", END)
    .compile(name="echo")
)


class Megaphone(BaseChatModel):
    """A chat model that knows one trick: the last message, louder."""

    @property
    def _llm_type(self) -> str:
        return "megaphone"

    def _words(self, messages: list[BaseMessage]) -> Iterator[str]:
        first, *others = str(messages[-1].text).upper().split(" ") if messages else [""]
        yield first
        yield from (f" {word}" for word in others)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        whole = AIMessage(content="".join(self._words(messages)))
        return ChatResult(generations=[ChatGeneration(message=whole)])

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        for word in self._words(messages):
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=word))
            if run_manager is not None:
                await run_manager.on_llm_new_token(word, chunk=chunk)
            yield chunk
            await asyncio.sleep(BETWEEN_WORDS)


MODEL = Megaphone()


async def respond(state: MessagesState) -> dict[str, list[BaseMessage]]:
    """One turn of the conversation."""
    return {"messages": [await MODEL.ainvoke(state["messages"])]}


chat = (
    StateGraph(MessagesState)
    .add_node(respond)
    .add_edge(START, "respond")
    .add_edge("respond", END)
    .compile(name="chat")
)
