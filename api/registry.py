"""push-token: how the CLI gets its own build of an image to where servers are started from; and the word that a
registry asks us for before it lets anybody do anything.
"""

import base64
import binascii
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import parse_qsl
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel

from api.bodies import PushRequest
from api.deployments import held
from api.needs import Caller, House, Session
from api.parts import Parts
from api.problems import Missing, Unacceptable, Unauthenticated
from api.registry_tokens import VALID
from api.shapes import PushToken, Refusal
from workflows.shapes import SourceKind

router = APIRouter(tags=["registry"], responses={code: {"model": Refusal} for code in (400, 401, 403, 404)})
TOKEN = "/v2/registry/token"  # noqa: S105 - a path


class RegistryToken(BaseModel):
    """What a client shows the registry; both names are in use among clients."""

    token: str
    access_token: str
    expires_in: int
    issued_at: str


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
    place = settings.registry_url.split("://")[-1].rstrip("/")
    repository = f"{place}/{row.slug}"
    if settings.registry_service:
        token = house.registry_tokens.password(repository.partition("/")[2])
    else:
        token = settings.registry_token.get_secret_value() or "none"
    return PushToken(
        token=token,
        registry_url=settings.registry_url,
        username=settings.registry_username,
        repository_url=repository,
    )


@router.get(TOKEN, summary="Ask for a registry's token")
async def token(
    house: House,
    response: Response,
    authorization: Annotated[str, Header()] = "",
    service: Annotated[str, Query(max_length=300)] = "",
    scope: Annotated[list[str] | None, Query(max_length=20)] = None,
) -> RegistryToken:
    """For clients of a registry that trusts this API, with the name and password of push-token. What is asked for
    and not granted is left out; the registry then says no."""
    response.headers["Cache-Control"] = "no-store"
    username, password = _login(authorization)
    return _granted(house, username, password, service, scope or [])


@router.post(TOKEN, include_in_schema=False)
async def exchange(house: House, request: Request, response: Response) -> RegistryToken:
    """The same, as clients ask that prefer forms."""
    try:
        sent = dict(parse_qsl((await request.body()).decode(), max_num_fields=20))
    except ValueError:
        raise Unacceptable("The body is not a form.") from None
    if sent.get("grant_type") != "password":
        raise Unacceptable("Only grant_type=password is known here.")
    response.headers["Cache-Control"] = "no-store"
    username, password = sent.get("username", ""), sent.get("password", "")
    return _granted(house, username, password, sent.get("service", ""), [sent.get("scope", "")])


@router.get("/v2/registry/certificate", summary="What a registry must trust")
async def certificate(house: House) -> Response:
    """The `rootcertbundle` of a registry whose tokens come from here."""
    _serving(house)
    return Response(house.registry_tokens.certificate, media_type="application/x-pem-file")


def _granted(house: Parts, username: str, password: str, service: str, scopes: list[str]) -> RegistryToken:
    _serving(house)
    known = house.settings.registry_service
    if service != known:
        raise Unacceptable(f"Tokens are given for the registry '{known}' only.")
    grant = house.registry_tokens.grant(username, password)
    if grant is None:
        raise Unauthenticated(
            "The registry's name and password are not known here, or not any more; ask push-token for new ones.",
            {"WWW-Authenticate": f'Basic realm="{known}"'},
        )
    asked = [one for scope in scopes for one in scope.split()]
    signed = house.registry_tokens.token(service, username, grant, asked)
    issued = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return RegistryToken(token=signed, access_token=signed, expires_in=VALID, issued_at=issued)


def _serving(house: Parts) -> None:
    if not house.settings.registry_service:
        raise Missing("This installation gives no tokens for a registry.")


def _login(authorization: str) -> tuple[str, str]:
    kind, _, encoded = authorization.partition(" ")
    if kind.lower() != "basic":
        return "", ""
    try:
        username, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return username, password
