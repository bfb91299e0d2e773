"""The owner of one deployment in a storm: one wish after the other, most of them good, some known to fail,
and threads that are to be there afterwards. Knows what every revision has to become."""

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.journeys.yard import ENDED, Yard, project

UNLOADABLE = "import a_module_that_nobody_has\n\necho = chat = None\n"
UNRESOLVABLE = '"no-such-package-of-graphyard>=7"'
KINDS = {"secrets": 11, "redeploy": 4, "source": 3, "unloadable": 1, "unresolvable": 1}
HASTY = 0.3
WRITES = 0.4
LONGEST = 900.0
"""Seconds in which every wish has to end, whatever is killed."""
RECOVERS = 60.0
"""Seconds in which a server has to find out that the connections it kept lead to a Postgres that is dead: until
then each answers one request with a 500."""


@dataclass
class Wished:
    """One wish, and what becomes of it if it is not overtaken."""

    kind: str
    prefix: str
    fails: str = ""
    """Words that the reason of its failure has to have; none if it has to be deployed."""


@dataclass
class Developer:
    """One deployment and its owner."""

    yard: Yard
    id: str
    index: int
    seed: int
    url: str = ""
    told: dict[str, Wished] = field(default_factory=dict)
    """By the ids that the API answered, in order."""
    threads: dict[str, str] = field(default_factory=dict)
    """What was written, by thread: only what a server said is done."""
    slowest: float = 0.0
    trouble: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._choice = random.Random(f"{self.seed} {self.index}")
        self._deployed: list[str] = []
        self._turn = 0

    @property
    def last(self) -> Wished:
        return list(self.told.values())[-1]

    async def begin(self) -> None:
        """The first revision, before anything is killed, and something to remember."""
        wished = Wished("source", self._prefix())
        revision = await self.yard.push(self.id, project(), {"ECHO_PREFIX": wished.prefix})
        self.told[revision] = wished
        self.url = (await self.yard.deployed(self.id, revision))["url"]
        self._deployed.append(revision)
        while not self.threads:
            await self.write()

    async def live(self, wishes: int, turn: asyncio.Semaphore) -> None:
        """So many wishes; `turn` holds how many deployments may be moved at once."""
        left = wishes
        while left:
            async with turn:
                hasty = True
                while left and hasty:
                    revision = await self.wish()
                    left -= 1
                    hasty = self._choice.random() < HASTY
                await self.until_ended(revision)
                if self._choice.random() < WRITES:
                    await self.write()

    async def wish(self) -> str:
        """Ask for something, as often as it takes to be told that it was accepted."""
        kind = self._kind()
        wished = Wished(kind, self._prefix())
        secrets = {"ECHO_PREFIX": wished.prefix}
        match kind:
            case "redeploy":
                old = self._choice.choice(self._deployed)
                wished.prefix = self.told[old].prefix
                path = f"/v2/deployments/{self.id}/revisions/{old}/redeploy"
                revision: str = (await self.yard.call("POST", path))["latest_revision_id"]
            case "secrets":
                wished.fails = self.last.fails
                given = [{"name": name, "value": value} for name, value in secrets.items()]
                revision = await self.yard.revise(self.id, secrets=given)
            case _:
                files, wished.fails = self._files(kind)
                revision = await self.yard.push(self.id, files, secrets)
        self.told[revision] = wished
        return revision

    async def until_ended(self, revision: str) -> None:
        began = time.monotonic()
        while True:
            found = await self.yard.revision(self.id, revision)
            took = time.monotonic() - began
            if found["status"] in ENDED:
                break
            assert took < LONGEST, (
                f"revision {found['number']} is {found['status']} after {took:.0f} s: {found}"
            )
            await asyncio.sleep(0.3)
        self.slowest = max(self.slowest, took)
        if found["status"] == "DEPLOYED":
            self._deployed.append(revision)

    async def write(self) -> None:
        """Have the agent remember something; it counts only if it said that it did."""
        text = f"kept {self.index}.{len(self.threads)}"
        async with httpx.AsyncClient(base_url=self.url, timeout=30, trust_env=False) as http:
            try:
                made = await http.post("/threads", json={})
                thread = made.json()["thread_id"] if made.is_success else None
                body = {"assistant_id": "echo", "input": {"text": text}}
                done = await http.post(f"/threads/{thread}/runs/wait", json=body) if thread else made
                said: Any = done.json() if done.is_success else {}
            except (httpx.TransportError, ValueError):
                return
        if thread and isinstance(said, dict) and said.get("text") == text and "result" in said:
            self.threads[thread] = text

    async def forgotten(self) -> list[str]:
        """Threads that are not as they were written."""
        lost = []
        async with httpx.AsyncClient(base_url=self.url, timeout=30, trust_env=False) as http:
            for thread, text in self.threads.items():
                deadline = time.monotonic() + RECOVERS
                answer = await http.get(f"/threads/{thread}/state")
                while answer.status_code >= 500 and time.monotonic() < deadline:
                    await asyncio.sleep(0.5)
                    answer = await http.get(f"/threads/{thread}/state")
                kept = answer.json()["values"].get("text") if answer.is_success else answer.text[:200]
                if kept != text:
                    lost.append(f"thread {thread} holds {kept!r} and was told {text!r}")
        return lost

    def _kind(self) -> str:
        kinds = dict(KINDS)
        if self.last.fails:
            # What is changed on top of broken code is broken too; sooner or later somebody mends it.
            kinds = {"secrets": 1, "redeploy": 2, "source": 2}
        return self._choice.choices(list(kinds), list(kinds.values()))[0]

    def _files(self, kind: str) -> tuple[dict[str, str], str]:
        files = {**project(), "NOTES.md": f"{self.index} {self._turn}"}
        if kind == "unloadable":
            return {**files, "echo_agent.py": UNLOADABLE}, "a_module_that_nobody_has"
        if kind == "unresolvable":
            told = files["pyproject.toml"]
            files["pyproject.toml"] = told.replace("dependencies = [", f"dependencies = [{UNRESOLVABLE},", 1)
            return files, "no-such-package-of-graphyard"
        return files, ""

    def _prefix(self) -> str:
        self._turn += 1
        return f"{self.index}.{self._turn}-"
