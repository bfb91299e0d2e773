"""Wishes that nobody acts on: the nudge was lost, or the workflow that had the wish was ended by hand."""

from uuid import UUID

import psycopg
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from records import wish
from records.session import connect, sessions
from tests.chaos.moments import until_step
from tests.drift.patient import Patient
from workflows import names


async def lose_a_nudge(patient: Patient) -> None:
    """The wish is on record and Temporal never heard of it; a minute has passed."""
    engine = connect(patient.stack.records_dsn)
    async with sessions(engine).begin() as session:
        serving = (await patient.yard.deployment(patient.id))["active_revision_id"]
        made = await wish.redeploy(session, patient.uuid, UUID(serving))
    await engine.dispose()
    async with await psycopg.AsyncConnection.connect(patient.stack.records_dsn) as connection:
        await connection.execute(
            "update revisions set created_at = created_at - interval '1 minute' where id = %s", [made.id]
        )


async def end_the_rollout(patient: Patient) -> None:
    client = await _temporal(patient)
    await _begin(patient, client)
    await client.get_workflow_handle(_rollout(patient)).terminate("by hand")


async def end_the_deployment(patient: Patient) -> None:
    """Its rollout goes on, and nobody is there to hear how it ends."""
    client = await _temporal(patient)
    await _begin(patient, client)
    await client.get_workflow_handle(names.deployment_workflow(patient.uuid)).terminate("by hand")


async def end_both(patient: Patient) -> None:
    client = await _temporal(patient)
    await _begin(patient, client)
    await client.get_workflow_handle(names.deployment_workflow(patient.uuid)).terminate("by hand")
    await client.get_workflow_handle(_rollout(patient)).terminate("by hand")


async def end_the_idle_workflow(patient: Patient) -> None:
    """Nothing is wished: what is missing is who would hear that something broke. Then something breaks."""
    client = await _temporal(patient)
    await client.get_workflow_handle(names.deployment_workflow(patient.uuid)).terminate("by hand")
    patient.door().unlink()


async def end_the_watch(patient: Patient) -> None:
    """The eyes of the whole plane are shut, and something breaks."""
    client = await _temporal(patient)
    await client.get_workflow_handle(names.watch_workflow("local")).terminate("by hand")
    patient.door().unlink()


async def _begin(patient: Patient, client: Client) -> None:
    value = [{"name": "AGE", "value": str(patient.number + 1)}]
    secrets = [{"name": "FLAGS", "value": str(patient.flags)}, *value]
    await patient.yard.revise(patient.id, secrets=secrets)
    await until_step(client, patient.id, "starting")


def _rollout(patient: Patient) -> str:
    return names.rollout_workflow(patient.uuid, patient.number + 1, 1)


async def _temporal(patient: Patient) -> Client:
    return await Client.connect(patient.stack.temporal_address, data_converter=pydantic_data_converter)
