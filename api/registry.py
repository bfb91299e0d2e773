"""push-token: how the CLI gets its own build of an image to where servers are started from."""

from uuid import UUID

from fastapi import APIRouter

from api.bodies import PushRequest
from api.deployments import held
from api.needs import Caller, House, Session
from api.problems import Unacceptable
from api.shapes import PushToken, Refusal
from workflows.shapes import SourceKind

router = APIRouter(tags=["registry"], responses={code: {"model": Refusal} for code in (400, 401, 403, 404)})


@router.post("/v2/deployments/{deployment_id}/push-token", summary="Ask how to push an image")
async def push_token(
    deployment_id: UUID, caller: Caller, house: House, session: Session, body: PushRequest | None = None
) -> PushToken:
    """For deployments of source `internal_docker`, on installations that have a registry."""
    async with session.begin():
        row = await held(session, caller, deployment_id)
    settings = house.settings
    if row.source != SourceKind.INTERNAL_DOCKER:
        raise Unacceptable(
            "push-token is only available for 'internal_docker' source deployments; "
            f"this one's is '{row.source}'."
        )
    if not settings.registry_url:
        raise Unacceptable(
            "This installation has no image registry, so it cannot take images that were built elsewhere. "
            "Deploy with `langgraph deploy --remote`: the source is uploaded and built here."
        )
    repository = settings.registry_url.split("://")[-1].rstrip("/")
    return PushToken(
        token=settings.registry_token.get_secret_value() or "none",
        registry_url=settings.registry_url,
        username=settings.registry_username,
        repository_url=f"{repository}/{row.slug}",
    )
