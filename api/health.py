"""Is it alive, can it work, what is it doing: for supervisors and Prometheus. No key needed."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import Field
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from api import census
from api.needs import House
from api.parts import Parts
from api.problems import database_away
from api.shapes import Shape
from records.migrations import is_behind

router = APIRouter(tags=["health"])
PATIENCE = 3.0


class Alive(Shape):
    """The process answers."""

    status: str = "alive"


class Readiness(Shape):
    """What this api depends on."""

    ready: bool
    database: Annotated[str, Field(description="ready, away, or behind (migrations are missing).")]
    temporal: Annotated[str, Field(description="ready or away; without it wishes are kept and wait.")]


NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {"model": Readiness, "description": "The database is not."}
}


@router.get("/health", summary="Is the process alive")
async def health() -> Alive:
    """200 as long as the process answers at all."""
    return Alive()


@router.get("/ready", summary="Can it work", responses=NOT_READY)
async def ready(house: House, response: Response) -> Readiness:
    """200 when the database answers and has this version's schema, or a newer one: an upgrade migrates before it
    replaces us. Temporal is reported and does not decide: without it the api still serves, and what is asked for
    meanwhile is done once it is back."""
    database, temporal = await asyncio.gather(_database(house), house.nudger.reachable())
    if database != "ready":
        response.status_code = 503
        response.headers["Retry-After"] = "3"
    return Readiness(ready=database == "ready", database=database, temporal="ready" if temporal else "away")


@router.get("/metrics", summary="Metrics for Prometheus", response_class=Response)
async def metrics(house: House) -> Response:
    """Requests, uploads and failed nudges of this process; deployments, open revisions, planes and drift on
    record."""
    meters = house.meters
    try:
        async with asyncio.timeout(PATIENCE), house.sessions() as session:
            counted = await census.take(session)
    except Exception as error:
        if not (database_away(error) or isinstance(error, TimeoutError)):
            raise
        meters.database_up.set(0)
    else:
        meters.database_up.set(1)
        census.show(counted, meters)
    return Response(generate_latest(meters.registry), media_type=CONTENT_TYPE_LATEST)


async def _database(house: Parts) -> str:
    try:
        async with asyncio.timeout(PATIENCE), house.sessions() as session:
            version = await session.scalar(text("SELECT version_num FROM alembic_version"))
    except ProgrammingError:
        return "behind"
    except Exception as error:
        if database_away(error) or isinstance(error, TimeoutError):
            return "away"
        raise
    return "behind" if is_behind(version) else "ready"
