"""The API with ten thousand deployments on record: how long a create and a page of the list take.

The rows are written straight into the records, since nobody wants to wait for ten thousand rollouts; the
requests that are timed go through the gateway like any caller's.
"""

import time
from uuid import uuid4

import psycopg

from sealing import Keyring
from tests.benchmarks.table import Row, quantiles
from tests.journeys.yard import Yard
from tests.stack import Stack
from workflows import names

MANY = 10_000


async def measure(stack: Stack, yard: Yard) -> list[Row]:
    model = await yard.create("rows-model")
    await yard.delete(model["id"])
    before = await _times(yard, 40, "few")
    await _fill(stack)
    after = await _times(yard, 40, "many")
    return [
        Row("POST /v2/deployments, few rows", quantiles(before[0])),
        Row(f"POST /v2/deployments, {MANY:,} rows", quantiles(after[0])),
        Row("GET /v2/deployments (20 newest), few rows", quantiles(before[1])),
        Row(f"GET /v2/deployments (20 newest), {MANY:,} rows", quantiles(after[1])),
        Row(f"GET …?name_contains=, {MANY:,} rows", quantiles(after[2])),
    ]


async def _times(yard: Yard, times: int, word: str) -> tuple[list[float], list[float], list[float]]:
    posts, lists, searches = [], [], []
    for index in range(times):
        began = time.perf_counter()
        await yard.create(f"row-{word}-{index}")
        posts.append(time.perf_counter() - began)
        began = time.perf_counter()
        await yard.call("GET", "/v2/deployments")
        lists.append(time.perf_counter() - began)
        began = time.perf_counter()
        await yard.call("GET", f"/v2/deployments?name_contains=filled-{index}")
        searches.append(time.perf_counter() - began)
    return posts, lists, searches


async def _fill(stack: Stack) -> None:
    """Copies of one row that differ in id, digits, name and seals; every other column as the API wrote it."""
    keyring = Keyring.load(stack.home / "secrets" / "sealing.keys")
    own = ("id", "short", "name", "credentials", "environment")
    made = []
    for number in range(MANY):
        owner = uuid4()
        sealed = keyring.seal_map({}, str(owner))
        made.append((owner, names.short(owner), f"filled-{number}", sealed, sealed))
    async with await psycopg.AsyncConnection.connect(stack.records_dsn, autocommit=True) as connection:
        found = await connection.execute(
            "select column_name from information_schema.columns where table_name = 'deployments'"
            " and column_name <> all(%s) and is_generated = 'NEVER'",
            (list(own),),
        )
        shared = ", ".join(name for (name,) in await found.fetchall())
        async with connection.cursor() as cursor:
            await cursor.executemany(
                f"insert into deployments ({', '.join(own)}, {shared}) select %s, %s, %s, %s, %s, {shared}"
                " from deployments where name = 'row-few-0' on conflict do nothing".encode(),
                made,
            )
        await connection.execute("analyze deployments")
