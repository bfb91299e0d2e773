"""What planes say and fetch: log lines in, sources out.

Never for callers: this door is not behind the gateway or the ingress, and a plane shows its own token, not a
workspace's key. One whose token is its own speaks for itself only.
"""

import hmac
from typing import Annotated, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Depends, Header
from fastapi.responses import StreamingResponse
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from api import archives
from api.needs import House, Session
from api.problems import Forbidden, Missing, Unauthenticated
from records import line, upload
from records.line import LogKind, NewLine
from workflows.lines import TOKEN_HEADER, Line, Lines, Taken


class Mouth(NamedTuple):
    """Who speaks."""

    plane: str | None
    """None: with the token of all planes."""

    def check(self, plane: str) -> None:
        """Refuse a word for another plane."""
        if self.plane not in (None, plane):
            raise Forbidden(f"This token is plane '{self.plane}''s, and speaks for no other.")


def plane_only(house: House, token: Annotated[str, Header(alias=TOKEN_HEADER)] = "") -> Mouth:
    """Let nobody in but a data plane."""
    settings = house.settings
    expected: list[tuple[str | None, SecretStr]] = [*settings.plane_tokens.items()]
    expected = expected or [(None, settings.plane_token)]
    # Each is compared, whichever fits: how long that takes tells nothing.
    fitting = [
        plane
        for plane, one in expected
        if hmac.compare_digest(one.get_secret_value().encode(), token.encode()) and token
    ]
    if not fitting:
        raise Unauthenticated(f"This door is for data planes; {TOKEN_HEADER} is missing or wrong.")
    return Mouth(fitting[0])


Speaker = Annotated[Mouth, Depends(plane_only)]
router = APIRouter(prefix="/internal/v1", dependencies=[Depends(plane_only)])


@router.post("/lines")
async def take(body: Lines, speaker: Speaker, house: House) -> Taken:
    """Put log lines on record. A deployment's lines are one transaction; whatever is sent again is known, and what
    belongs to nobody on that plane is dropped."""
    taken = Taken()
    async with house.sessions() as session:
        places = {(sent.deployment, sent.number) for sent in body.lines}
        owners = await line.owners(session, places, speaker.plane)
    batches: dict[UUID, list[NewLine]] = {}
    for sent in body.lines:
        if (owner := owners.get((sent.deployment, sent.number))) is None:
            taken.dropped += 1
        else:
            batches.setdefault(owner[0], []).append(_new(sent, owner[1]))
    for deployment_id, lines in batches.items():
        async with house.sessions.begin() as session:
            stored = await line.insert_lines(session, deployment_id, lines)
        if stored is None:
            taken.dropped += len(lines)
        else:
            taken.stored += stored
            taken.known += len(lines) - stored
    return taken


@router.get("/sources/{upload_id}")
async def source(upload_id: UUID, speaker: Speaker, house: House, session: Session) -> StreamingResponse:
    """The archive as it was uploaded, opened on the way."""
    await owned(session, speaker, upload_id)
    return await archives.sent(house, session, upload_id)


async def owned(session: AsyncSession, speaker: Mouth, upload_id: UUID) -> None:
    """Whether this plane has anything to do with that archive; if not, it is as if there were none."""
    if speaker.plane is None:
        return
    if await upload.plane_of(session, upload_id) != speaker.plane:
        raise Missing(f"The source archive {upload_id} was never uploaded.")


def _new(sent: Line, revision_id: UUID) -> NewLine:
    return NewLine(
        kind=LogKind(sent.kind),
        at=sent.at,
        message=sent.message,
        stream=sent.stream,
        position=sent.position,
        level=sent.level,
        revision_id=revision_id,
        replica=sent.replica,
    )
