"""Servers that are ill from within: they answer and do nothing, hang, die again and again, eat all memory."""

import asyncio
import contextlib
import signal

import httpx
from langgraph_sdk.errors import LangGraphError

from tests.drift.patient import Patient


async def stall_the_queue(patient: Patient) -> None:
    """It asks for runs and is given none, though they wait."""
    patient.flag("stall")
    await patient.answers()
    await leave_runs(patient)


async def end_the_queue(patient: Patient) -> None:
    """The one task that takes runs is over; everything else goes on."""
    patient.flag("quit")
    await patient.answers()
    await asyncio.sleep(1)
    await leave_runs(patient)


async def block_the_loop(patient: Patient) -> None:
    """Not even HTTP is answered any more, and the process looks well."""
    patient.flag("block")
    thread = await patient.client.threads.create()
    await patient.client.runs.create(thread["thread_id"], "patient", input={"text": "sleep"})


async def die_at_every_start(patient: Patient) -> None:
    patient.flag("exit")
    patient.undo.append(patient.unflag)
    await patient.send(patient.server(), signal.SIGKILL)


async def eat_all_memory(patient: Patient) -> None:
    patient.flag("eat")
    with contextlib.suppress(LangGraphError, httpx.HTTPError):
        await patient.client.runs.create(None, "patient", input={"text": "hungry"})


async def leave_runs(patient: Patient, count: int = 3) -> None:
    """Runs that will wait."""
    for index in range(count):
        thread = await patient.client.threads.create()
        await patient.client.runs.create(thread["thread_id"], "patient", input={"text": f"run {index}"})
