"""/v1/integrations: connections to code hosts. There are none here, which is an empty list."""

from uuid import UUID

from fastapi import APIRouter

from api.needs import Caller
from api.problems import Missing
from api.shapes import Refusal

router = APIRouter(prefix="/v1/integrations", tags=["integrations"], responses={401: {"model": Refusal}})


@router.get("/github/install", summary="List GitHub installations")
async def installations(caller: Caller) -> list[dict[str, str]]:
    """Always empty: deploy with `langgraph deploy --remote` instead."""
    return []


@router.get("/github/{integration_id}/repos", summary="List an installation's repositories")
async def repositories(integration_id: UUID, caller: Caller) -> list[dict[str, str]]:
    """Always 404."""
    raise Missing(f"Integration ID {integration_id} not found.")
