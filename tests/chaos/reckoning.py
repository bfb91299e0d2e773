"""After a storm: what has become of every wish, and what there is on the machine, counted by looking."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
from temporalio.client import Client

from dataplane.local.supervisor import Supervisor
from tests.chaos.counts import what_exists
from tests.chaos.developer import Developer, Wished
from tests.journeys.yard import ENDED, Yard, agent
from tests.stack import Stack
from workflows import names

PARTS = {"postgres", "temporal", "api", "worker", "caddy", "keeper"}
KINDS = ("databases", "roles", "valkeys", "servers", "routes")
SETTLES = 180.0


@dataclass
class Account:
    """One deployment's revisions, as they ended."""

    statuses: Counter[str] = field(default_factory=Counter)
    unanswered: int = 0
    """Revisions whose answer was lost on the way; their wish was repeated until one arrived."""
    wrong: list[str] = field(default_factory=list)


async def eventually(look: Callable[[], Awaitable[list[str]]], limit: float = SETTLES) -> list[str]:
    """What is still wrong when there was time enough to put it right."""
    deadline = time.monotonic() + limit
    while (wrong := await look()) and time.monotonic() < deadline:
        await asyncio.sleep(1)
    return wrong


async def accounted(developer: Developer) -> Account:
    """Every accepted revision is there and has ended as its wish had to; the newest one serves, or has failed
    for the reason that was put into it."""
    account = Account()
    revisions = (await developer.yard.revisions(developer.id))[::-1]
    ids = [one["id"] for one in revisions]
    account.wrong += [
        f"revision {one} was accepted and is not there" for one in developer.told if one not in ids
    ]
    account.unanswered = len(set(ids) - set(developer.told))
    wishes = _wishes(developer, ids)
    for one in revisions:
        account.statuses[one["status"]] += 1
        if said := _untrue(one, wishes[one["id"]], newest=one is revisions[-1]):
            account.wrong.append(said)
    shown = await developer.yard.deployment(developer.id)
    if shown["status"] != "READY":
        account.wrong.append(f"the deployment is {shown['status']}")
    deployed = [one["id"] for one in revisions if one["status"] == "DEPLOYED"]
    if shown["active_revision_id"] != deployed[-1]:
        account.wrong.append(f"{shown['active_revision_id']} serves and {deployed[-1]} was deployed last")
    account.wrong += await _answers(developer.url, wishes[deployed[-1]])
    account.wrong += await developer.forgotten()
    return account


def _wishes(developer: Developer, ids: Sequence[str]) -> dict[str, Wished]:
    """What each revision was for: one that nobody was told of is of the wish that was repeated after it."""
    found: dict[str, Wished] = {}
    wished = developer.last
    for one in reversed(ids):
        wished = developer.told.get(one, wished)
        found[one] = wished
    return found


def _untrue(revision: dict[str, Any], wished: Wished, *, newest: bool) -> str:
    """What is wrong with a revision's end, if anything is."""
    status, said = revision["status"], revision["status_message"] or ""
    who = f"revision {revision['number']} ({wished.kind})"
    if status not in ENDED:
        return f"{who} is still {status}"
    if status == "SKIPPED":
        return f"{who} is the newest and was skipped" if newest else ""
    if wished.fails:
        failed = status in ("BUILD_FAILED", "DEPLOY_FAILED") and wished.fails in said
        return "" if failed else f"{who} had to fail with {wished.fails!r} and is {status}: {said[:300]}"
    return "" if status == "DEPLOYED" else f"{who} was good and is {status}: {said[:1500]}"


async def _answers(url: str, wished: Wished) -> list[str]:
    try:
        answer = await agent(url).runs.wait(None, "echo", input={"text": "alive"})
        said = answer["result"] if isinstance(answer, dict) else answer
    except Exception as error:
        said = repr(error)
    return [] if said == f"{wished.prefix}ALIVE" else [f"{url} says {said!r} instead of {wished.prefix}ALIVE"]


async def on_the_machine(stack: Stack, deployments: Sequence[str]) -> list[str]:
    """Whatever exists of each deployment once, and nothing besides."""
    wrong: list[str] = []
    for one in deployments:
        if (counted := await what_exists(stack, one)) != dict.fromkeys(KINDS, 1):
            wrong.append(f"of {one} there are {counted}")
    states = await Supervisor(stack.home).all_states()
    servers = [name for name in states if name.startswith("server-")]
    shorts = {names.short(UUID(one)) for one in deployments}
    wanted = PARTS | {f"redis-{short}" for short in shorts} | set(servers)
    wrong += [f"program {name} is there for nobody" for name in set(states) - wanted]
    wrong += [f"program {name} is missing" for name in wanted - set(states)]
    wrong += [f"program {name} is {one.state}" for name, one in states.items() if one.state != "RUNNING"]
    written = {path.stem for path in (stack.home / "etc" / "conf.d").glob("*.conf")}
    written |= {path.stem for path in (stack.home / "etc" / "specs").glob("*.json")}
    wrong += [f"{name} is written down and not known, or the other way" for name in written ^ set(states)]

    stems = {name.removeprefix("server-") for name in servers}
    for directory, wanted_there in (
        ("run/rev", {f"{stem}.sock" for stem in stems}),
        ("run/take", {stem.rpartition("-")[0] for stem in stems}),
        ("run/redis", {f"{short}.sock" for short in shorts}),
        ("data/redis", shorts),
    ):
        there = {path.name for path in (stack.home / directory).iterdir() if not path.name.startswith(".")}
        wrong += [f"{directory}/{name} is left or missing" for name in there ^ wanted_there]

    known = {one.pid for one in states.values()} | {await stack.pid("supervisord")}
    for process in stack.processes():
        if process.pid not in known and not any(parent.pid in known for parent in process.parents()):
            wrong.append(f"process {process.pid} is nobody's: {process.cmdline()[:3]}")
    return wrong + await _in_postgres(stack, len(deployments))


async def _in_postgres(stack: Stack, wanted: int) -> list[str]:
    wrong = []
    async with await psycopg.AsyncConnection.connect(stack.postgres_admin_dsn) as connection:
        for what, table, column in (
            ("databases", "pg_database", "datname"),
            ("roles", "pg_roles", "rolname"),
        ):
            query = f"select count(*) from {table} where {column} like 'gy\\_%'"
            row = await (await connection.execute(query.encode())).fetchone()
            if row is None or row[0] != wanted:
                wrong.append(f"{row} {what} of deployments instead of {wanted}")
    return wrong


async def in_temporal(stack: Stack, deployments: Sequence[str]) -> list[str]:
    """One workflow per deployment, one watch, and nothing under way."""
    client = await Client.connect(stack.temporal_address)
    running = Counter(
        [one.id async for one in client.list_workflows("ExecutionStatus = 'Running'")],
    )
    wanted = Counter([names.deployment_workflow(UUID(one)) for one in deployments])
    wanted[names.watch_workflow("local")] += 1
    # A sweep comes and goes.
    extra = {one for one in running - wanted if not one.startswith(names.sweep_schedule("local"))}
    return [f"workflow {one} still runs" for one in extra] + [
        f"workflow {one} does not run" for one in wanted - running
    ]


async def without_drift(yard: Yard, deployments: Sequence[str]) -> list[str]:
    """What the control plane itself still holds against them, and what nobody owns."""
    wrong = []
    for one in deployments:
        told = await yard.call("GET", f"/v2/deployments/{one}/drift")
        if told["state"] != "steady" or told["open"]:
            seen = [difference["sentence"] for difference in told["open"]]
            wrong.append(f"{one} is {told['state']} ({told['why']}): {seen}")
    plane = await yard.call("GET", "/v2/listeners/local/drift")
    wrong += [f"orphan: {one['kind']} {one['name']}" for one in plane["orphans"]]
    return wrong if plane["status"] == "online" else [*wrong, f"the plane is {plane['status']}"]
