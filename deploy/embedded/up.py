"""`graphyard up`: from whatever is there to a whole stack that answers, or back to where it was.

Each part is written down, started and waited for; what is up and unchanged is left alone, so a second `up`
only looks. When a part will not come up, whatever this `up` started ends again.
"""

import asyncio
import json
import sys
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dataplane.local import gateway
from dataplane.local.programs import Program, write_private
from dataplane.local.supervisor import Supervisor
from deploy.embedded import parts, ports, postgres, secrets, version
from deploy.embedded.daemon import Daemon, alone, last_line
from deploy.embedded.deployments import roll_out_anew
from deploy.embedded.down import end
from deploy.embedded.home import Home
from deploy.embedded.parts import PRIORITIES, passed, settings
from deploy.embedded.ports import Stack
from deploy.embedded.ready import Readiness
from deploy.embedded.registry import registry
from deploy.embedded.secrets import Secrets
from deploy.embedded.show import Progress
from deploy.embedded.troubles import Trouble

PATIENCE = 90.0
"""Seconds a part may take until it answers; what takes long is Postgres's recovery on a slow disk."""
CRASHES = 4
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Found:
    """What was there before this `up` did anything."""

    alive: bool
    running: frozenset[str]


class Up:
    """One `up` of one stack."""

    def __init__(self, home: Home, environ: Mapping[str, str], progress: Progress) -> None:
        self._home = home
        self._environ = environ
        self._progress = progress
        self._supervisor = Supervisor(home.root)
        self._daemon = Daemon(home, self._supervisor)
        self._touched: list[str] = []
        self._moved = False
        self.cold = True
        """Whether nothing of the stack ran before."""
        self._began = int(time.time())

    async def run(self) -> Stack:
        """Bring it all up; what was chosen and found is in the stack that comes back."""
        self._home.check()
        postgres.check_disguise()
        binaries = postgres.binaries(dict(self._environ))
        stack = Stack.load(self._home.stack).told(self._environ)
        if not await self._daemon.settle():
            ports.check_public(stack)
        self._home.make()
        with alone(self._home):
            found = await self._look()
            self.cold = not found.alive
            try:
                return await self._bring_up(stack, binaries, found)
            except BaseException:
                await asyncio.shield(self._undo(found))
                raise

    async def _look(self) -> Found:
        if not await self._daemon.alive():
            return Found(alive=False, running=frozenset())
        states = await self._supervisor.all_states()
        return Found(alive=True, running=frozenset(name for name, state in states.items() if state.up))

    async def _bring_up(self, stack: Stack, binaries: Path, found: Found) -> Stack:
        stack = self._settle_ports(stack, found)
        stack.save(self._home.stack)
        known = secrets.settle(self._home)
        if not found.alive:
            # The parts are started one after the other, when what they need is there; deployments' own come
            # by themselves with the daemon and wait for their databases.
            for name in PRIORITIES:
                self._supervisor.files.remove(name)
            await self._daemon.start()
        ready = Readiness(self._home, stack, known)
        await self._ensure(parts.keeper(self._home), ready)
        await self._both(self._postgres(binaries, stack, known, ready), self._temporal(stack, ready))
        stack = await self._migrate(stack, known)
        env = {
            **passed(self._environ),
            **settings(self._home, stack, known),
            "GRAPHYARD_CODE": version.digest(),
        }
        building = {**env, **registry(self._environ)}
        door = gateway.configuration(self._home.root, stack.listen, urlsplit(stack.url).path)
        write_private(self._home.root / "etc" / "caddy.json", door)
        await self._both(
            self._ensure(parts.api(self._home, stack, env), ready),
            self._ensure(parts.worker(self._home, stack, building), ready),
            self._ensure(parts.caddy(self._home, BIN, door), ready),
        )
        if self._moved and (count := await roll_out_anew(self._home)):
            self._progress.say(f"  Postgres moved, so what serves ({count}) is rolled out anew")
        return stack

    def _settle_ports(self, stack: Stack, found: Found) -> Stack:
        """The public port must be free or ours; internal ones that others took meanwhile move."""
        kept = Stack.load(self._home.stack)
        if "caddy" not in found.running or stack.listen != kept.listen:
            ports.check_public(stack)

        def ours(name: str) -> bool:
            return name.partition("_")[0] in found.running

        settled = ports.settle(stack.ports, ours)
        self._moved = "postgres" in stack.ports and stack.ports["postgres"] != settled["postgres"]
        for name, port in settled.items():
            if name in stack.ports and stack.ports[name] != port:
                self._progress.say(
                    f"  port {stack.ports[name]} of {name} was taken meanwhile; it moves to {port}"
                )
        return replace(stack, ports=settled)

    async def _postgres(self, binaries: Path, stack: Stack, known: Secrets, ready: Readiness) -> None:
        began = time.monotonic()
        made = await asyncio.to_thread(postgres.initialise, self._home, binaries, known.postgres_admin)
        postgres.configure(self._home)
        postgres.forget_stranger(self._home)
        program = parts.postgres(self._home, stack, binaries, postgres.disguise())
        await self._ensure(program, ready, began=began, note="made" if made else "")
        await asyncio.to_thread(postgres.provision_records, known, stack.ports["postgres"])

    async def _temporal(self, stack: Stack, ready: Readiness) -> None:
        await self._ensure(parts.temporal(self._home, stack, BIN), ready)

    async def _migrate(self, stack: Stack, known: Secrets) -> Stack:
        """Schema, workspace and key; left out when this code did it already to this database."""
        mark = self._home.postgres / "graphyard.migrated"
        digest = version.digest()
        if stack.tenant_id and self._home.api_key.exists() and mark.exists() and mark.read_text() == digest:
            return stack
        with self._progress.timed("records"):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "deploy.cli", "migrate", "--bootstrap"),
                env={**passed(self._environ), **settings(self._home, stack, known)},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            out, err = await process.communicate()
        if process.returncode != 0:
            log = self._home.log("migrate")
            log.write_bytes(err)
            raise Trouble(
                f"The records' schema could not be brought up to date ({last_line(log)}): the whole story is"
                f" in {log}."
            )
        stack = replace(stack, tenant_id=json.loads(out)["tenant_id"])
        stack.save(self._home.stack)
        mark.write_text(digest)
        return stack

    async def _ensure(
        self, program: Program, ready: Readiness, *, began: float | None = None, note: str = ""
    ) -> None:
        """Have a part run as it is described now, and answer."""
        began = time.monotonic() if began is None else began
        self._touched.append(program.name)
        fresh = await self._supervisor.put(program)
        await self._until_ready(program, ready)
        self._progress.part(program.name, time.monotonic() - began, note if fresh else "was up")

    async def _until_ready(self, program: Program, ready: Readiness) -> None:
        check = ready.of(program.name)
        deadline = time.monotonic() + PATIENCE
        deaths: set[int] = set()
        while True:
            state = await self._supervisor.state(program.name)
            if state and state.pid and (check is None or await check(state.pid)):
                return
            if state and state.ended > self._began:
                deaths.add(state.ended)
            if len(deaths) > CRASHES or (state and state.state == "FATAL"):
                said = last_line(program.log)
                raise Trouble(
                    f"{program.name} does not come up ({said}): the whole story is in {program.log}."
                )
            if time.monotonic() > deadline:
                said = last_line(program.log)
                raise Trouble(
                    f"{program.name} gave no answer in {PATIENCE:.0f} s ({said}): look into {program.log}."
                )
            await asyncio.sleep(0.05)

    async def _both(self, *works: Coroutine[Any, Any, None]) -> None:
        """Side by side; the first that fails ends the others."""
        try:
            async with asyncio.TaskGroup() as group:
                for work in works:
                    group.create_task(work)
        except BaseExceptionGroup as several:
            # Not `except*`: up to Python 3.11.3 what is raised inside one comes out in a group again.
            raise several.exceptions[0] from None

    async def _undo(self, found: Found) -> None:
        """End what this `up` started, and nothing that was there before it."""
        if not await self._supervisor.alive():
            return
        if found.alive:
            await self._supervisor.stop([name for name in self._touched if name not in found.running])
        else:
            await end(self._supervisor, self._daemon)
