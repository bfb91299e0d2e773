"""What the servers of one deployment look like, in the words of drift: processes, answers, work, and what they
were started with. Nothing is changed by looking.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dataplane.flavours import flavour
from dataplane.local import seen
from dataplane.local.deaths import WORDS, Death, Deaths, tail, words
from dataplane.local.diagnosis import diagnose, last_lines, masked
from dataplane.local.environment import token
from dataplane.local.programs import Program
from dataplane.local.pulse import work
from dataplane.local.replica import AWAY
from dataplane.local.replicas import Replicas
from dataplane.local.servers import LocalServers
from dataplane.local.started import Started
from dataplane.local.supervisor import State, Supervisor
from workflows import names
from workflows.causes import Code
from workflows.drift import ANSWERS, MISSING, MOVES, RUNNING, SUSPENDED, Fact, Field
from workflows.shapes import Wish

TOLD_FOR = timedelta(minutes=10)
"""How long a death that is over is spoken of."""
SAME_END = 2.0
"""Seconds; supervisor itself tells ends in whole ones."""
UNSUPERVISED, WRITTEN = "unsupervised", "only written down"
OUT_OF_MEMORY, ENDED = "out of memory", "exit status 0"


class Away(Exception):
    """There is nobody who could tell."""


class ServerSight:
    """Looks at the servers of one home."""

    def __init__(
        self,
        replicas: Replicas,
        servers: LocalServers,
        supervisor: Supervisor,
        deaths: Deaths,
        *,
        stuck_seconds: float,
    ) -> None:
        self.started = Started(replicas)
        self._replicas = replicas
        self._servers = servers
        self._supervisor = supervisor
        self._deaths = deaths
        self._stuck_seconds = stuck_seconds

    async def facts(self, wish: Wish) -> list[Fact]:
        """Every server of the deployment; raises `Away` while there is no supervisor to ask."""
        short, now = names.short(wish.deployment_id), datetime.now(UTC)
        states = await self._supervisor.glance()
        if states is None:
            raise Away("the supervisor does not answer")
        deaths = await self._deaths.since(await self._since(short, now), f"server-{short}-")
        secrets = await asyncio.to_thread(self._replicas.secrets, wish)
        wished = await asyncio.to_thread(self.started.wished, wish)
        found = await asyncio.gather(
            *(
                self._replica(wish, name, index, states.get(name), deaths, secrets, wished.get(name))
                for name, index in self._replicas.names(wish).items()
            )
        )
        others = await self._others(wish, states)
        return [*(fact for facts in found for fact in facts), *others]

    async def _since(self, short: str, now: datetime) -> datetime:
        """Deaths before the door led here are the rollout's affair."""
        led = await asyncio.to_thread(self._replicas.slots.since, short)
        earliest = now - TOLD_FOR
        return max(earliest, datetime.fromtimestamp(led, UTC)) if led else earliest

    async def _replica(
        self,
        wish: Wish,
        name: str,
        index: int,
        state: State | None,
        deaths: Sequence[Death],
        secrets: frozenset[str],
        program: Program | None,
    ) -> list[Fact]:
        replica, now = self._replicas.replica(wish, index), datetime.now(UTC)
        letter = seen.letter(state.pid) if state and state.pid else ""
        health = ""
        if state is not None and state.up and letter not in ("", seen.STOPPED):
            health = await replica.health(flavour(wish.flavour))
            # It may have died of what it was asked, or while it was.
            letter = seen.letter(state.pid)
        own = [one for one in deaths if one.name == name]
        up = health in (ANSWERS, AWAY)
        is_ = seen.process(state, letter, [one.at for one in own], answers=up, now=now)
        log = self._replicas.log(wish, index)
        facts = await asyncio.to_thread(lambda: [*self._ends(own, is_, state, log, secrets)])
        if is_ == RUNNING and health:
            said = "" if up else await asyncio.to_thread(_last, log, secrets)
            facts.append(Fact(field=Field.ANSWER, name=name, seen=health, evidence=said))
        if is_ == RUNNING and health == ANSWERS:
            facts += await self._work(wish, index, name, log, secrets)
        facts += await asyncio.to_thread(lambda: [*self.started.facts(wish, name, state, program)])
        return facts

    def _ends(
        self,
        deaths: Sequence[Death],
        is_: str,
        state: State | None,
        log: Path,
        secrets: frozenset[str],
    ) -> Iterator[Fact]:
        """How its process is now, and how it died before. A death that is not over tells since when and why."""
        text = tail(log, WORDS) if deaths else ""
        past = [self._death(one, text, secrets) for one in deaths]
        over = is_ in (MISSING, RUNNING, SUSPENDED) or not past or not _latest(state, deaths[-1])
        last = None if over else past.pop()
        yield from past
        if last is not None:
            code = last.code or (Code.CRASH_LOOP if is_ == seen.LOOPING else None)
            yield last.model_copy(update={"seen": is_, "past": False, "code": code})
        elif state is not None:
            ended = datetime.fromtimestamp(state.ended, UTC) if is_ == seen.DEAD and state.ended else None
            yield Fact(field=Field.PROCESS, name=state.name, seen=is_, since=ended)

    def _death(self, death: Death, text: str, secrets: frozenset[str]) -> Fact:
        said = words(text, death.born, death.at)
        code = self._cause(death, said, secrets)
        return Fact(
            field=Field.PROCESS,
            name=death.name,
            seen=OUT_OF_MEMORY if code is Code.OUT_OF_MEMORY else death.how,
            since=death.at,
            past=True,
            code=code,
            evidence="\n".join(last_lines(masked(said, secrets))),
        )

    def _cause(self, death: Death, said: str, secrets: frozenset[str]) -> Code | None:
        """Of one that was killed or that ended well, whatever it said before is not why."""
        if death.how.startswith("SIG"):
            return Code.OUT_OF_MEMORY if self._deaths.by_kernel(death) else None
        found = diagnose(said, secrets).cause if death.how != ENDED else None
        return found.code if found else None

    async def _work(
        self, wish: Wish, index: int, name: str, log: Path, secrets: frozenset[str]
    ) -> list[Fact]:
        secret = await asyncio.to_thread(token, self._replicas.keys, wish)
        replica = self._replicas.replica(wish, index)
        pulse = await replica.pulse(secret)
        told = work(pulse, self._stuck_seconds) if pulse else None
        if told is not None and told[0] != MOVES:
            # Believed when it comes twice: between two runs a queue is idle for a moment.
            await asyncio.sleep(0.5)
            pulse = await replica.pulse(secret)
            told = work(pulse, self._stuck_seconds) if pulse else None
        if told is None:
            return []
        if told[0] == MOVES:
            return [Fact(field=Field.WORK, name=name, seen=MOVES)]
        since = datetime.fromtimestamp(time.time() - told[1], UTC)
        said = await asyncio.to_thread(_last, log, secrets)
        return [
            Fact(field=Field.WORK, name=name, seen=told[0], since=since, code=Code.NO_PROGRESS, evidence=said)
        ]

    async def _others(self, wish: Wish, states: Mapping[str, State]) -> list[Fact]:
        """Servers of other revisions, and of this one beyond its number."""
        wished = self._replicas.names(wish)
        facts = []
        for name in sorted(await self._servers.there(names.short(wish.deployment_id))):
            if name in wished:
                continue
            state = states.get(name)
            if state is not None:
                letter = seen.letter(state.pid) if state.pid else ""
                is_ = seen.process(state, letter, answers=True, now=datetime.now(UTC))
            else:
                alive = await asyncio.to_thread(self._servers.alive, name)
                is_ = UNSUPERVISED if alive else WRITTEN
            facts.append(Fact(field=Field.PROCESS, name=name, seen=is_))
        return facts


def _latest(state: State | None, death: Death) -> bool:
    """Whether that death is how the process last ended: somebody may have stopped it since."""
    return state is None or not state.ended or abs(state.ended - death.at.timestamp()) < SAME_END


def _last(log: Path, secrets: frozenset[str]) -> str:
    return "\n".join(last_lines(masked(tail(log, WORDS), secrets)))
