"""A sweep over a plane that only remembers: what it costs with 100, 1,000 and 10,000 deployments, all well but
three. Through a real Temporal and real records, in a process of its own, whose peak is the memory it takes.

`python -m tests.benchmarks.sweeps <records' DSN> <deployments>` measures one and prints it as JSON.
"""

import asyncio
import json
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from sqlalchemy import event
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from activities.control.records import RecordSteps
from activities.plane.steps import PortSteps
from dataplane.memory import Memory
from records.session import connect, sessions
from tests.benchmarks.table import Row
from tests.benchmarks.temporal import ACTIONS
from tests.rows import a_served
from tests.surveys import Judge
from tests.temporal_server import TemporalServer, skipping
from tests.workflows.ward import Ward
from worker.notify import Notifier
from worker.nudge import Nudge
from worker.queues import control_worker, plane_worker
from workflows import names
from workflows.mending import State
from workflows.shapes import Image, Wish
from workflows.sweep import Sweep

COUNTS = (100, 1_000, 10_000)
ILL = 3
MOST_SECONDS, MOST_MB = 30, 300
MONTH_MINUTES = 30 * 24 * 60


async def measure(make: Callable[[str], str], migrated: str) -> list[Row]:
    """One row for each size, and one for how the cost grows."""
    found = [await _apart(make(migrated), count) for count in COUNTS]
    rows = [
        Row(
            f"a sweep over {one['count']:,} deployments in memory, {ILL} of them ill",
            f"{one['seconds']:.2f} s, {one['peak_mb']:.0f} MB at its peak ({one['grown_mb']:.0f} MB grown), "
            f"{one['round_trips']} round trips, {one['actions']} actions",
            f"< {MOST_SECONDS} s, < {MOST_MB} MB" if one["count"] == COUNTS[-1] else "",
            one["seconds"] < MOST_SECONDS and one["peak_mb"] < MOST_MB
            if one["count"] == COUNTS[-1]
            else None,
        )
        for one in found
    ]
    each = [one["seconds"] / one["count"] * 1000 for one in found]
    growth = ", ".join(f"{took:.2f} ms at {one['count']:,}" for took, one in zip(each, found, strict=True))
    rows.append(Row("the same, by deployment", growth, "not growing", each[-1] <= each[0] * 1.2))
    # One more than a sweep's own: the schedule's.
    month = (found[-1]["idle_actions"] + 1) * MONTH_MINUTES
    by_deployment = ", ".join(f"{month / count:.0f} at {count:,}" for count in COUNTS)
    rows.append(Row("Temporal actions of a plane's sweeps a month, shared by its deployments", by_deployment))
    rows.append(await _idle_month())
    return rows


async def _idle_month() -> Row:
    """A deployment that serves and is left alone, on a clock that is skipped."""
    async with skipping() as environment:
        ward = Ward(environment.client, environment)
        async with ward.working():
            wish = await ward.admit()
            await ward.inspect(wish)
            await ward.told(State.STEADY)
            await ward.rested(wish)
            before = await _actions(ward, wish)
            await ward.skip(30 * 24 * 3600)
            added = await _actions(ward, wish) - before
    return Row("Temporal actions of an idle deployment's own a month", str(added), "< 100", added < 100)


async def _actions(ward: Ward, wish: Wish) -> int:
    return sum(event.event_type in ACTIONS for event in (await ward.entity(wish).fetch_history()).events)


async def _apart(dsn: str, count: int) -> dict[str, Any]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "tests.benchmarks.sweeps", dsn, str(count),
        stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    said, _ = await child.communicate()
    assert child.returncode == 0, "the sweep was not measured"
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found


async def one(dsn: str, count: int) -> dict[str, Any]:
    """Fill records and plane, sweep twice (the second finds all well), and tell."""
    engine = connect(dsn)
    memory = Memory()
    wishes = await _fill(dsn, count)
    _remember(memory, wishes)
    with tempfile.TemporaryDirectory() as directory:
        server = TemporalServer(Path(directory) / "temporal.log")
        server.start()
        try:
            client = await Client.connect(server.address, data_converter=pydantic_data_converter)
            nudge = Nudge(client, sessions(engine))
            records = RecordSteps(sessions(engine), public_url="http://here", nudge=nudge)
            judge = Judge(sessions(engine), nudge)
            steps = PortSteps(memory.plane(), surveys=judge, notify=Notifier(client))
            async with (
                control_worker(client, records, interceptors=[], grace=timedelta(0)),
                plane_worker(client, "local", steps, interceptors=[], grace=timedelta(0)),
            ):
                await _sweep(client)
                for wish in wishes[:ILL]:
                    memory.injuries.lose_replica(wish.deployment_id)
                before, trips = _peak(), _counted(engine)
                began = time.perf_counter()
                found = await _sweep(client)
                seconds, peak, spent = time.perf_counter() - began, _peak(), trips["statements"]
                assert found["swept"].differing == ILL, found
                idle = await _sweep(client)
        finally:
            server.kill()
    await engine.dispose()
    return {
        "count": count,
        "seconds": seconds,
        "peak_mb": peak,
        "grown_mb": peak - before,
        "round_trips": spent,
        "actions": found["actions"],
        "idle_actions": idle["actions"],
    }


async def _sweep(client: Client) -> dict[str, Any]:
    handle = await client.start_workflow(Sweep.run, "local", id=f"sweep-{uuid4()}", task_queue=names.CONTROL)
    swept = await handle.result()
    events = (await handle.fetch_history()).events
    return {"swept": swept, "actions": sum(event.event_type in ACTIONS for event in events)}


def _counted(engine: Any) -> Counter[str]:
    counted: Counter[str] = Counter()

    def note(*_: Any) -> None:
        counted["statements"] += 1

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    return counted


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _remember(memory: Memory, wishes: list[Wish]) -> None:
    for wish in wishes:
        memory.make_databases(wish)
        for replica in memory.start(wish):
            replica.state, replica.healthy = "running", True
        memory.serving[wish.deployment_id] = wish.number
    digest = wishes[0].image
    assert digest is not None, "a revision that serves has an image"
    memory.images[digest] = Image(
        digest=digest, source_digest="s", lock_digest="l", server="m", builder="m", python="3.11", size=1
    )


async def _fill(dsn: str, count: int) -> list[Wish]:
    """One deployment as the records write it, and copies of it that differ in ids and names."""
    engine = connect(dsn)
    async with sessions(engine).begin() as session:
        row, wish = await a_served(session)
    await engine.dispose()
    copies = [
        wish.model_copy(
            update={
                "deployment_id": uuid4(),
                "revision_id": uuid4(),
                "name": f"copy-{number}",
                "archive": None,
            }
        )
        for number in range(1, count)
    ]
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        for table, own, made in (
            (
                "deployments",
                ("id", "short", "name", "latest_revision_id", "active_revision_id"),
                [
                    (
                        one.deployment_id,
                        names.short(one.deployment_id),
                        one.name,
                        one.revision_id,
                        one.revision_id,
                    )
                    for one in copies
                ],
            ),
            (
                "revisions",
                ("id", "deployment_id"),
                [(one.revision_id, one.deployment_id) for one in copies],
            ),
        ):
            found = await connection.execute(
                "select column_name from information_schema.columns where table_name = %s"
                " and column_name <> all(%s) and is_generated = 'NEVER'",
                (table, list(own)),
            )
            shared = ", ".join(name for (name,) in await found.fetchall())
            values = ", ".join(["%s"] * len(own))
            which = row.id if table == "deployments" else wish.revision_id
            async with connection.cursor() as cursor:
                await cursor.executemany(
                    f"insert into {table} ({', '.join(own)}, {shared}) select {values}, {shared}"
                    f" from {table} where id = '{which}'".encode(),
                    made,
                )
        await connection.execute("analyze")
    return [wish, *copies]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(one(sys.argv[1], int(sys.argv[2])))))
