"""Who is asking, and for which workspace. A key belongs to one workspace and reaches nothing beyond it."""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from api import parts
from api.parts import Parts
from api.problems import Forbidden, Unacceptable, Unauthenticated
from records import key, workspace

API_KEY = APIKeyHeader(name="X-Api-Key", auto_error=False, description="A key of your workspace.")
BEARER = HTTPBearer(auto_error=False, description="The same key, for clients that prefer this header.")
HOW = "send one of your workspace's keys as X-Api-Key (`graphyard env` shows where yours is)"


@dataclass(frozen=True)
class Tenant:
    """The workspace that a request speaks for."""

    id: UUID
    name: str
    key_id: UUID


async def tenant(
    house: Annotated[Parts, Depends(parts.of)],
    api_key: Annotated[str | None, Depends(API_KEY)],
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
    tenant_id: Annotated[
        str | None, Header(alias="X-Tenant-Id", description="The workspace; a key knows its own.")
    ] = None,
) -> Tenant:
    """The workspace of the key, or a refusal."""
    secret = api_key or (bearer.credentials if bearer else "")
    if not secret:
        raise Unauthenticated(f"No API key: {HOW}.", {"WWW-Authenticate": "Bearer"})
    async with house.sessions() as session:
        found = await key.find(session, secret)
        if found is None:
            raise Unauthenticated(
                f"This API key is unknown or was revoked: {HOW}.", {"WWW-Authenticate": "Bearer"}
            )
        home = await workspace.get(session, found.workspace_id)
    assert home is not None
    if tenant_id:
        _check(tenant_id, home.id)
    return Tenant(home.id, home.name, found.id)


def _check(wanted: str, own: UUID) -> None:
    try:
        same = UUID(wanted) == own
    except ValueError:
        raise Unacceptable(
            "X-Tenant-Id is not a UUID; leave it out to use the workspace of your API key."
        ) from None
    if not same:
        raise Forbidden(f"This API key has no access to workspace {UUID(wanted)}; it belongs to another one.")
