"""What befalls a real deployment is seen as what it is, and the smallest remedy makes the facts clean again."""

import asyncio
import hashlib
import json
import os
import shutil
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from langgraph_sdk import get_client

from dataplane.local.programs import Program
from dataplane.local.slots import SLOTS
from tests.dataplane.local.yard import EXAMPLE, Yard
from workflows import names
from workflows.causes import Code
from workflows.drift import Difference, Fact, Field, compare
from workflows.mending import Remedy, Treatment, treatments
from workflows.shapes import Wish


@dataclass
class Case:
    """A deployment that serves, and where to get at it."""

    yard: Yard
    wish: Wish

    @property
    def short(self) -> str:
        return names.short(self.wish.deployment_id)

    @property
    def bundle(self) -> Path:
        assert self.wish.image is not None
        return self.yard.home / "images" / self.wish.image.removeprefix("sha256:")

    def server(self, index: int = 0) -> str:
        return names.server(self.wish.deployment_id, self.wish.number, index)

    def spec(self, index: int = 0) -> Path:
        return self.yard.home / "etc" / "specs" / f"{self.server(index)}.json"

    def conf(self, index: int = 0) -> Path:
        return self.yard.home / "etc" / "conf.d" / f"{self.server(index)}.conf"

    def slot(self, slot: int) -> Path:
        return self.yard.home / "run" / "up" / f"{self.short}.{slot}"

    def socket(self, number: int = 1, index: int = 0) -> Path:
        return self.yard.home / "run" / "rev" / f"{self.short}-{number}-{index}.sock"

    def marker(self, number: int = 1) -> Path:
        return self.yard.home / "run" / "take" / f"{self.short}-{number}"

    def door(self) -> Path:
        return self.yard.home / "run" / "up" / f"{names.slug('agent', self.wish.deployment_id)}.on"

    def edit(self, change: Callable[[dict[str, Any]], object]) -> None:
        said = json.loads(self.spec().read_text())
        change(said)
        self.spec().write_text(json.dumps(said, indent=1, sort_keys=True))

    async def pid(self, index: int = 0) -> int:
        state = await self.yard.supervisor.state(self.server(index))
        return state.pid if state else 0

    async def send(self, number: int, index: int = 0) -> None:
        os.kill(await self.pid(index), number)

    async def facts(self) -> list[Fact]:
        return (await self.yard.plane.upkeep.sight(self.wish)).facts

    async def differences(self) -> list[Difference]:
        sighted = await self.yard.plane.upkeep.sight(self.wish)
        return compare(self.wish, sighted.facts, frozenset(sighted.looked))

    async def present(self) -> list[Difference]:
        return [one for one in await self.differences() if not one.past]

    async def mended(self) -> list[Treatment]:
        """What was done until nothing differs any more."""
        done: list[Treatment] = []
        for _ in range(3):
            found = await self.present()
            if not found:
                return done
            todo = treatments(found, {})
            await self.yard.plane.upkeep.repair(self.wish, todo, lambda said: None)
            done += todo
        assert await self.present() == []
        return done


@pytest.fixture
async def case(yard: Yard, deployment: UUID) -> Case:
    wish = yard.wish(deployment, environment={"ECHO_PREFIX": "one "}, archive=yard.uploaded(EXAMPLE))
    await yard.roll(wish)
    return Case(yard, wish)


async def suspend(case: Case) -> None:
    await case.send(signal.SIGSTOP)


async def running(case: Case) -> None:
    """Until supervisor takes the server for started and would start it again at once."""
    async with asyncio.timeout(30):
        while (state := await case.yard.supervisor.state(case.server())) is None or state.state != "RUNNING":
            await asyncio.sleep(0.05)


async def stop(case: Case) -> None:
    await case.yard.supervisor.stop([case.server()], urge="KILL")


async def remove_conf(case: Case) -> None:
    case.conf().unlink()


async def remove_conf_and_reload(case: Case) -> None:
    case.conf().unlink()
    await case.yard.supervisor.reload()


async def remove_spec(case: Case) -> None:
    case.spec().unlink()


async def garble_spec(case: Case) -> None:
    case.spec().write_bytes(b'{"argv": [\xff')


async def edit_variables(case: Case) -> None:
    case.edit(lambda spec: spec["env"].update(LOG_LEVEL="CRITICAL"))


async def drop_secrets(case: Case) -> None:
    case.edit(lambda spec: spec["sealed"].pop(0))


async def edit_image(case: Case) -> None:
    case.edit(lambda spec: spec["argv"].__setitem__(0, f"{case.yard.home}/images/{'0' * 64}/venv/bin/python"))


async def open_spec(case: Case) -> None:
    case.spec().chmod(0o644)


async def lock_conf(case: Case) -> None:
    case.conf().chmod(0)


async def start_edited(case: Case) -> None:
    """As somebody would who knows how."""
    case.edit(lambda spec: spec["env"].update(LOG_LEVEL="CRITICAL"))
    digest = hashlib.sha256(case.spec().read_bytes()).hexdigest()[:32]
    lines = case.conf().read_text().splitlines()
    told = [f'environment=GRAPHYARD_SPEC="{digest}"' if "GRAPHYARD_SPEC" in one else one for one in lines]
    case.conf().write_text("\n".join([*told, ""]))
    await case.yard.supervisor.reload()
    await settled(case)


async def start_unsealed(case: Case) -> None:
    """Restarted from a spec that was edited, and the spec put back."""
    before = case.spec().read_bytes()
    case.edit(lambda spec: spec["env"].update(LOG_LEVEL="CRITICAL"))
    await case.yard.supervisor.restart(case.server())
    await settled(case)
    case.spec().write_bytes(before)


async def settled(case: Case) -> None:
    await case.yard.plane.servers.until_ready(case.wish, lambda said: None)


async def remove_socket(case: Case) -> None:
    await running(case)
    case.socket().unlink()


async def lock_socket(case: Case) -> None:
    case.socket().chmod(0)


async def remove_link(case: Case) -> None:
    case.slot(1).unlink()


async def remove_links(case: Case) -> None:
    for slot in range(SLOTS):
        case.slot(slot).unlink()


async def lead_astray(case: Case) -> None:
    case.slot(0).unlink()
    case.slot(0).symlink_to(Path("..") / "rev" / "0000beef-1-0.sock")


async def lead_to_nobody(case: Case) -> None:
    """A newer revision of which there is nothing."""
    for slot in range(SLOTS):
        case.slot(slot).unlink()
        case.slot(slot).symlink_to(Path("..") / "rev" / case.socket(7).name)


async def put_a_file_for_a_link(case: Case) -> None:
    case.slot(3).unlink()
    case.slot(3).write_text("no link")


async def close_door(case: Case) -> None:
    case.door().unlink()


async def take_no_runs(case: Case) -> None:
    case.marker().unlink()


async def let_others_take_runs(case: Case) -> None:
    case.marker(9).touch()


async def add_server(case: Case) -> None:
    name = names.server(case.wish.deployment_id, 0, 0)
    await case.yard.supervisor.put(
        Program(name, ("/bin/sleep", "600"), case.yard.home, case.yard.home / "logs" / "x")
    )


async def write_server_down(case: Case) -> None:
    """Supervisor would start it with its next start."""
    name = names.server(case.wish.deployment_id, 0, 0)
    program = Program(name, ("/bin/sleep", "600"), case.yard.home, case.yard.home / "logs" / "x")
    case.yard.supervisor.files.write(program)


Injury = Callable[[Case], Awaitable[None]]
UNTOUCHED: list[tuple[Injury, set[Field], set[Remedy]]] = [
    (suspend, {Field.PROCESS}, {Remedy.WAKE}),
    (remove_conf, {Field.ENVIRONMENT}, {Remedy.FIT}),
    (remove_spec, {Field.ENVIRONMENT}, {Remedy.FIT}),
    (garble_spec, {Field.ENVIRONMENT}, {Remedy.FIT}),
    (edit_variables, {Field.ENVIRONMENT}, {Remedy.FIT}),
    (drop_secrets, {Field.ENVIRONMENT}, {Remedy.FIT}),
    (edit_image, {Field.ENVIRONMENT, Field.IMAGE}, {Remedy.FIT}),
    (open_spec, {Field.ENVIRONMENT}, {Remedy.FIT}),
    (lock_conf, {Field.ENVIRONMENT}, {Remedy.FIT}),
    (lock_socket, {Field.LINK}, {Remedy.RELINK}),
    (remove_link, {Field.LINK}, {Remedy.RELINK}),
    (remove_links, {Field.LINK}, {Remedy.RELINK}),
    (lead_astray, {Field.LINK}, {Remedy.RELINK}),
    (lead_to_nobody, {Field.LINK}, {Remedy.RELINK}),
    (put_a_file_for_a_link, {Field.LINK}, {Remedy.RELINK}),
    (close_door, {Field.ROUTE}, {Remedy.RELINK}),
    (take_no_runs, {Field.LINK}, {Remedy.RELINK}),
    (let_others_take_runs, {Field.LINK}, {Remedy.RELINK}),
    (add_server, {Field.EXTRA}, {Remedy.END}),
    (write_server_down, {Field.EXTRA}, {Remedy.END}),
]
RESTARTED: list[tuple[Injury, set[Field], set[Remedy]]] = [
    (stop, {Field.PROCESS}, {Remedy.FIT}),
    (remove_conf_and_reload, {Field.PROCESS, Field.ENVIRONMENT}, {Remedy.FIT}),
    (remove_socket, {Field.ANSWER}, {Remedy.RESTART}),
    (start_edited, {Field.ENVIRONMENT}, {Remedy.FIT}),
    (start_unsealed, {Field.ENVIRONMENT}, {Remedy.FIT}),
]


async def test_a_deployment_that_is_well(case: Case) -> None:
    sighted = await case.yard.plane.upkeep.sight(case.wish)
    assert compare(case.wish, sighted.facts, frozenset(sighted.looked)) == []
    assert {one.field for one in sighted.facts} == {*Field} - {Field.EXTRA}


async def test_what_is_put_right_under_a_running_server(case: Case) -> None:
    pid = await case.pid()
    for injury, fields, remedies in UNTOUCHED:
        await injury(case)
        found = await case.present()
        assert {one.field for one in found} == fields, (injury.__name__, found)
        assert {one.remedy for one in await case.mended()} == remedies, injury.__name__
        assert await case.pid() == pid, injury.__name__


async def test_what_takes_a_start(case: Case) -> None:
    for injury, fields, remedies in RESTARTED:
        pid = await case.pid()
        await injury(case)
        found = await case.present()
        assert {one.field for one in found} == fields, (injury.__name__, found)
        assert {one.remedy for one in await case.mended()} == remedies, injury.__name__
        assert await case.pid() not in (0, pid), injury.__name__
        assert [one for one in await case.differences() if one.past] == [], injury.__name__


async def test_deaths_are_told_with_their_reason_and_last_words(case: Case) -> None:
    await running(case)
    began = datetime.now(UTC)
    with case.yard.home.joinpath("logs", "deploy", case.short, "1-0.log").open("a") as log:
        log.write(
            json.dumps({"event": f"my last words Pg-{case.wish.deployment_id.hex}", "level": "info"}) + "\n"
        )
    await case.send(signal.SIGKILL)
    died = datetime.now(UTC)
    async with asyncio.timeout(10):
        # Supervisor itself takes a moment to know. On a busy machine the server may be back before the next
        # look, and its death be over.
        while not (told := [one for one in await case.differences() if one.since is not None]):
            await asyncio.sleep(0.02)
    (death,) = told
    assert death.field is Field.PROCESS
    assert death.since is not None
    assert began - timedelta(seconds=0.01) <= death.since <= died + timedelta(seconds=1)
    assert "my last words •••" in death.evidence
    assert {one.remedy for one in await case.mended()} <= {Remedy.AWAIT, Remedy.FIT}
    (over,) = await case.differences()
    assert (over.past, over.seen, over.since) == (True, "SIGKILL", death.since)
    assert "my last words •••" in over.evidence
    await case.yard.supervisor.restart(case.server())
    await settled(case)
    assert [one.since for one in await case.differences()] == [over.since]


async def test_an_image_is_made_anew_under_its_digest(yard: Yard, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(EXAMPLE, project)
    (project / "NOTE").write_text("an image of its own")
    id_ = uuid4()
    wish = yard.wish(id_, image=await yard.built(project), archive=yard.uploaded(project))
    case = Case(yard, wish)
    await yard.roll(wish)
    source = case.bundle / "source" / "echo_agent.py"

    def rewrite() -> None:
        source.write_text(source.read_text().replace(".upper()", ".lower()"))

    damages: list[tuple[Callable[[], object], str]] = [
        (lambda: shutil.rmtree(case.bundle), "missing"),
        (rewrite, "source/echo_agent.py was changed"),
    ]
    try:
        for damage, told in damages:
            damage()
            (found,) = await case.present()
            assert (found.field, found.seen) == (Field.BUNDLE, told)
            assert [one.remedy for one in await case.mended()] == [Remedy.REBUILD, Remedy.RESTART], told
        assert ".upper()" in source.read_text()
    finally:
        await yard.clear(id_)


async def test_a_queue_that_stands_still(yard: Yard, deployment: UUID) -> None:
    """It answers, its health is good, and nothing that is asked of it ever happens."""
    graph = """
import os
from pathlib import Path
from langgraph.graph import END, START, StateGraph

FLAG = Path(os.environ["FLAG"])

async def nobody(*arguments, **named):
    import asyncio
    await asyncio.sleep(0.1)
    return
    yield

async def act(state):
    if FLAG.exists():
        FLAG.unlink()
        from langgraph_runtime_pg import ops
        ops.Runs.next = staticmethod(nobody)
    return {"text": "done"}

graph = StateGraph(dict).add_node(act).add_edge(START, "act").add_edge("act", END).compile()
"""
    flag = yard.home / "data" / "flag"
    flag.touch()
    wish = yard.wish(
        deployment,
        environment={"FLAG": str(flag)},
        image=yard.variant({"ill.py": graph}, {"ill": "ill.py:graph"}),
        replicas=2,
    )
    await yard.roll(wish)
    case, plane = Case(yard, wish), yard.another(stuck_seconds=2)
    client = get_client(url=yard.address(deployment), api_key="unused")
    await client.runs.wait(None, "ill", input={"text": ""})
    assert not flag.exists()
    pids = [await case.pid(0), await case.pid(1)]
    # The other replica is well and takes whatever comes.
    assert await client.runs.wait(None, "ill", input={"text": ""}) == {"text": "done"}
    async with asyncio.timeout(40):
        while not (found := compare(wish, (await plane.upkeep.sight(wish)).facts, frozenset())):
            await asyncio.sleep(0.5)
    (stuck,) = found
    assert (stuck.field, stuck.code) == (Field.WORK, Code.NO_PROGRESS)
    assert stuck.seen.startswith("stuck: its queue has not asked for runs for 2")
    await plane.upkeep.repair(wish, treatments(found, {}), lambda said: None)
    assert await case.present() == []
    after = [await case.pid(0), await case.pid(1)]
    assert [old == new for old, new in zip(pids, after, strict=True)] == [
        stuck.name != case.server(index) for index in range(2)
    ]


async def test_two_replicas_are_never_away_at_once(yard: Yard, deployment: UUID) -> None:
    wish = yard.wish(deployment, replicas=2)
    await yard.roll(wish)
    case, done = Case(yard, wish), asyncio.Event()
    pids, answers = [await case.pid(0), await case.pid(1)], set()

    async def ask() -> None:
        async with httpx.AsyncClient(timeout=10) as outside:
            while not done.is_set():
                answers.add((await outside.get(yard.address(deployment) + "/ok")).status_code)

    asking = asyncio.create_task(ask())
    await yard.plane.upkeep.repair(wish, [Treatment(remedy=Remedy.RESTART)], lambda said: None)
    done.set()
    await asking
    assert answers == {200}
    assert await case.present() == []
    assert not {await case.pid(0), await case.pid(1)} & {0, *pids}


async def test_a_newer_revision_is_led_to_by_nobody_else(yard: Yard, case: Case) -> None:
    """A repair that comes too late must not take the door from a rollout that has just switched."""
    newer = yard.wish(case.wish.deployment_id, 2)
    await yard.plane.servers.apply(newer)
    await yard.plane.servers.until_ready(newer, lambda said: None)
    await yard.plane.servers.switch(newer)
    late = [Treatment(remedy=Remedy.RELINK)]
    await yard.plane.upkeep.repair(case.wish, late, lambda said: None)
    seen = await yard.plane.servers.observe(newer)
    assert (seen.serving, [(one.revision, one.healthy) for one in seen.replicas]) == (
        2,
        [(1, True), (2, True)],
    )


async def test_what_cannot_be_asked_is_nobodys_difference(case: Case) -> None:
    """Without a supervisor only what lies on disk and in Postgres is looked at."""
    supervisor = case.yard.home / "run" / "supervisor.sock"
    aside = supervisor.with_suffix(".aside")
    supervisor.rename(aside)
    try:
        sighted = await case.yard.plane.upkeep.sight(case.wish)
    finally:
        aside.rename(supervisor)
    assert {Field.LINK, Field.ROUTE, Field.BUNDLE, Field.DATABASE, Field.ROLE} == {*sighted.looked}
    assert compare(case.wish, sighted.facts, frozenset(sighted.looked)) == []
