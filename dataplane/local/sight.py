"""What the servers of one deployment look like, in the words of drift: processes, answers, work, and what they
were started with. Nothing is changed by looking.
"""

import asyncio
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dataplane.flavours import flavour
from dataplane.images.bundle import Bundle
from dataplane.local import seen
from dataplane.local.deaths import WORDS, Death, Deaths, tail, words
from dataplane.local.diagnosis import diagnose, last_lines, masked
from dataplane.local.environment import token
from dataplane.local.launcher import aspects, opened
from dataplane.local.programs import Program
from dataplane.local.pulse import work
from dataplane.local.replica import AWAY
from dataplane.local.replicas import Replicas
from dataplane.local.servers import LocalServers
from dataplane.local.supervisor import State, Supervisor
from sealing import Keyring, Unsealable
from workflows import names
from workflows.causes import Code, Refused
from workflows.drift import ANSWERS, AS_WISHED, MISSING, MOVES, RUNNING, SUSPENDED, Fact, Field
from workflows.shapes import Wish

TOLD_FOR = timedelta(minutes=10)
"""How long a death that is over is spoken of."""
UNSUPERVISED, WRITTEN = "unsupervised", "only written down"
OUT_OF_MEMORY = "out of memory"


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
        written = await asyncio.to_thread(self._programs, wish)
        found = await asyncio.gather(
            *(
                self._replica(wish, name, index, states.get(name), deaths, secrets, written.get(name))
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
        facts += await asyncio.to_thread(lambda: [*self._started(wish, name, state, program)])
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
        over = is_ in (MISSING, RUNNING, SUSPENDED)
        last = None if over or not past else past.pop()
        yield from past
        if last is not None:
            yield last.model_copy(update={"seen": is_, "past": False})
        elif state is not None:
            ended = datetime.fromtimestamp(state.ended, UTC) if is_ == seen.DEAD and state.ended else None
            yield Fact(field=Field.PROCESS, name=state.name, seen=is_, since=ended)

    def _death(self, death: Death, text: str, secrets: frozenset[str]) -> Fact:
        said = words(text, death.born, death.at)
        cause = diagnose(said, secrets).cause
        code = cause.code if cause else None
        if self._deaths.by_kernel(death):
            code = Code.OUT_OF_MEMORY
        how = OUT_OF_MEMORY if code is Code.OUT_OF_MEMORY else death.how
        evidence = "\n".join(last_lines(masked(said, secrets)))
        return Fact(
            field=Field.PROCESS,
            name=death.name,
            seen=how,
            since=death.at,
            past=True,
            code=code,
            evidence=evidence,
        )

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

    def _programs(self, wish: Wish) -> dict[str, Program]:
        """As they should be; empty where the image is gone, which is told elsewhere."""
        try:
            bundle = Bundle.load(self._replicas.home, wish.image or "")
        except (Refused, OSError, ValueError):
            return {}
        return self._replicas.programs(wish, bundle)

    def _started(self, wish: Wish, name: str, state: State | None, program: Program | None) -> Iterator[Fact]:
        """What its files and its process were made with."""
        spec, note = self._spec(name), self.note(name, state)
        pythons = [note["python"]] if note else []
        argv = spec.get("argv")
        pythons += [str(argv[0])] if isinstance(argv, list) and argv else []
        images = [_image(self._replicas.home, python) for python in pythons]
        if images:
            strange = [one for one in images if one != wish.image]
            yield Fact(field=Field.IMAGE, name=name, seen=(strange or images)[0])
        wrong = self._replicas.files.described(name)
        said = [wrong] if wrong else []
        if program is not None:
            said += self.differing(program, spec, note)
        if state is not None or spec or said:
            yield Fact(field=Field.ENVIRONMENT, name=name, seen=", ".join(said) or AS_WISHED)

    def differing(
        self, program: Program, spec: Mapping[str, Any], note: Mapping[str, Any] | None
    ) -> Iterator[str]:
        """In what the written and the started program differ from the wished one; never a value."""
        if started := self.started_otherwise(program, note):
            yield started
        if spec and spec.get("shape") == program.shape:
            should = aspects(json.loads(program.spec()), _environment(json.loads(program.spec())))
            try:
                is_ = aspects(dict(spec), _environment(spec))
            except (Unsealable, LookupError, TypeError, ValueError, AttributeError):
                yield "written down with what cannot be opened"
                return
            other = [what for what, text in should.items() if is_[what] != text]
            if other:
                yield f"written down with another {' and '.join(other)}".replace(
                    "another variables", "other variables"
                )

    def started_otherwise(self, program: Program, note: Mapping[str, Any] | None) -> str:
        """What the process was started with and should not have been; empty if nothing, or nobody knows."""
        if not note:
            return ""
        if note.get("asked") and note.get("spec") != note["asked"]:
            return "started from an edited spec"
        if note.get("shape") != program.shape:
            return ""
        ring, spec = Keyring.load(self._replicas.keys), json.loads(program.spec())
        marks = note.get("marks") or {}
        other = [
            what
            for what, text in aspects(spec, _environment(spec)).items()
            if what in marks and ring.is_of(str(marks[what]), text) is False
        ]
        return (
            f"started with another {' and '.join(other)}".replace("another variables", "other variables")
            if other
            else ""
        )

    def note(self, name: str, state: State | None) -> dict[str, Any] | None:
        """What the launcher left word of about the process that runs now."""
        try:
            note = json.loads(self._replicas.note(name).read_bytes())
            return dict(note) if state is not None and note["pid"] == state.pid and note["python"] else None
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def _spec(self, name: str) -> dict[str, Any]:
        try:
            spec = json.loads(self._replicas.files.read(name) or "{}")
        except (OSError, ValueError):
            return {}
        return spec if isinstance(spec, dict) else {}

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


def _environment(spec: Mapping[str, Any]) -> dict[str, str]:
    return {**spec["env"], **opened(list(spec.get("sealed", [])), spec.get("keys"))}


def _image(home: Path, python: str) -> str:
    """The image that a Python belongs to."""
    try:
        inside = Path(python).relative_to(home / "images").parts
    except ValueError:
        return "none of this stack's"
    return f"sha256:{inside[0]}" if inside else "none"


def _last(log: Path, secrets: frozenset[str]) -> str:
    return "\n".join(last_lines(masked(tail(log, WORDS), secrets)))
