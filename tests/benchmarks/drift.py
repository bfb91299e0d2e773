"""How soon an injury is noticed and how soon it is healed, by what was hurt; and a killed server's way back
against the bare start of the same server.

Two deployments take turns with a pause between injuries, as one that is hurt every other second is looked at
less often, and one whose server dies again and again waits for its repair; that is not what a user waits for.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from dataplane.local.programs import LAUNCHER
from sealing import Keyring
from tests.benchmarks.table import Row
from tests.drift import bundles, databases, doors, processes, valkeys
from tests.drift.chart import Chart
from tests.drift.injuries import TABLE, Injury
from tests.drift.patient import Patient, admit
from tests.journeys.yard import Yard
from tests.stack import Stack

TIMES = 6
QUIET = 4.0
"""Seconds between two injuries, each to the other deployment."""
TYPICAL = (
    processes.kill_the_server,
    doors.remove_a_link,
    doors.close_the_door,
    databases.forbid_the_login,
    databases.change_the_password,
    valkeys.kill_the_valkey,
    valkeys.need_no_password,
    bundles.remove_its_mark,
    bundles.damage_a_source,
)


async def measure(stack: Stack, yard: Yard) -> list[Row]:
    patients = [await admit(stack, yard, f"hurt-{index}") for index in range(2)]
    noticed, healed = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    killed: list[float] = []
    bare: list[float] = []
    for again in range(TIMES):
        bare.append(await bare_start(patients[0]))
        for turn, injury in enumerate(one for one in TABLE if one.inflict in TYPICAL):
            found, repaired = await suffer(patients[(again + turn) % 2], injury)
            noticed[injury.kind].append(found)
            healed[injury.kind].append(repaired)
            if injury.inflict is processes.kill_the_server:
                killed.append(repaired)
            await asyncio.sleep(QUIET)
    for patient in patients:
        await yard.delete(patient.id)
        await yard.until_gone(patient.id)
    rows = [
        Row(f"{kind} hurt: noticed after", _quantiles(times), "p95 ≤ 2 s", _p95(times) <= 2)
        for kind, times in noticed.items()
    ]
    rows += [Row(f"{kind} hurt: healed after", _quantiles(times)) for kind, times in healed.items()]
    share = _p95(killed) / statistics.median(bare)
    figure = f"{share:.2f}  ({_quantiles(killed)} against {_quantiles(bare)})"
    return [*rows, Row("a killed server is back (p95) against its bare start", figure, "≤ 1.3", share <= 1.3)]


async def suffer(patient: Patient, injury: Injury) -> tuple[float, float]:
    """Seconds until it was noticed, and until all was well."""
    chart = Chart(patient)
    await chart.steady(limit=60)
    await chart.begin()
    began = time.time()
    await injury.inflict(patient)
    told = await chart.told(injury.fields, injury.seen, injury.evidence, 90)
    await chart.steady(limit=120)
    closed = [one.closed_at for one in chart.all if one.closed_at is not None]
    await patient.dismiss()
    return told.noticed_at - began, max(closed) - began


async def bare_start(patient: Patient) -> float:
    """The same server beside the one that serves: started by hand with the same everything, but that nobody
    knows its socket and it takes no runs; until it answers."""
    async with _alike(patient) as (spec, socket):
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-I", str(LAUNCHER), str(spec)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            transport = httpx.AsyncHTTPTransport(uds=str(socket))
            async with httpx.AsyncClient(transport=transport, base_url="http://server") as http:
                while True:
                    try:
                        if (await http.get("/ok?check_db=1")).status_code == 200:
                            return time.perf_counter() - began
                    except httpx.TransportError:
                        assert process.poll() is None, "the server started by hand died"
                    await asyncio.sleep(0.02)
        finally:
            process.kill()
            process.wait()


@asynccontextmanager
async def _alike(patient: Patient) -> AsyncIterator[tuple[Path, Path]]:
    """A copy of the server's spec that leads to another socket."""
    ring = Keyring.load(patient.home / "secrets" / "sealing.keys")
    said = json.loads(patient.spec(patient.server()).read_text())
    with tempfile.TemporaryDirectory(prefix="gy-bare-") as place:
        socket = Path(place) / "server.sock"
        last = said["sealed"][-1]
        values = ring.open_map(last["value"], last["owner"])
        values |= {"GRAPHYARD_SOCKET": str(socket), "GRAPHYARD_TAKE": f"{place}/never"}
        last["value"] = ring.seal_map(values, last["owner"])
        spec = Path(place) / "spec.json"
        spec.write_text(json.dumps(said))
        yield spec, socket


def _p95(values: list[float]) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]


def _quantiles(values: list[float]) -> str:
    return f"p50 {statistics.median(values):.2f} s, p95 {_p95(values):.2f} s (n={len(values)})"
