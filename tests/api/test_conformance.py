"""The contract's own checks over HTTP. No plane is here: stand-ins send build lines and end removals."""

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import select

from api.parts import Parts
from records import deployment
from records.deployment import Deployment
from records.revision import Revision
from settings import Settings
from tests.api.served import Served, served
from tests.shared import shared
from workflows.lines import TOKEN_HEADER
from workflows.shapes import PlaneKind, SourceKind

Admit = Callable[[Parts, str], Awaitable[tuple[str, str]]]
UNASKED = {"auth.org_key"}
"""Keys of organisations do not exist here, so there is nothing to hand to that check."""


@pytest.mark.parametrize(
    ("prefix", "kind"),
    [("", PlaneKind.LOCAL), ("/api-host", PlaneKind.KUBERNETES)],
)
async def test_every_check_passes(settings: Settings, admit: Admit, prefix: str, kind: PlaneKind) -> None:
    """The strict ones too: none of them asks for anything we would argue against."""
    script = shared("contract/conformance.py")
    registry = {"registry_url": "https://registry.test/yard", "registry_token": SecretStr("push")}
    settings = settings.model_copy(update={"plane_kind": kind})
    async with served(settings.model_copy(update=registry)) as api:
        workspace_id, key = await admit(api.parts, "default")
        standing_in = [asyncio.create_task(stand_in(api)) for stand_in in (_build, _remove)]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(script), "--strict"),
            *("--base-url", api.url + prefix, "--api-key", key, "--tenant-id", workspace_id),
            *("--delete-wait", "20", "--log-wait", "30"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output = (await process.communicate())[0].decode()
        for task in standing_in:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
    print(output)
    assert not re.findall(r"^FAIL.*", output, re.MULTILINE), output
    assert set(re.findall(r"^SKIP ([\w.]+)", output, re.MULTILINE)) == UNASKED
    assert re.search(r"^\d\d passed, 0 failed$", output, re.MULTILINE), output
    assert process.returncode == 0


async def _build(api: Served) -> None:
    """What a plane's builds write, a few lines at a time, through the door that planes use."""
    token = {TOKEN_HEADER: api.parts.settings.plane_token.get_secret_value()}
    async with httpx.AsyncClient(base_url=api.url, headers=token, trust_env=False) as plane:
        for position in range(1000):
            async with api.parts.sessions() as session:
                places = await session.execute(
                    select(Deployment.short, Revision.number)
                    .join(Revision, Revision.deployment_id == Deployment.id)
                    .where(Revision.source == SourceKind.INTERNAL_SOURCE)
                )
            for short, number in places:
                line = {
                    "deployment": short,
                    "number": number,
                    "kind": "build",
                    "at": datetime.now(UTC).isoformat(),
                    "level": "INFO",
                    "message": f"line {position}",
                    "stream": f"build-{short}-{number}",
                    "position": position,
                }
                (await plane.post("/internal/v1/lines", json={"lines": [line]})).raise_for_status()
            await asyncio.sleep(0.1)


async def _remove(api: Served) -> None:
    """What a plane's removal leaves: no row."""
    gone = select(Deployment.id).where(Deployment.deleted_at.is_not(None))
    while True:
        async with api.parts.sessions.begin() as session:
            for deployment_id in await session.scalars(gone):
                await deployment.forget(session, deployment_id)
        await asyncio.sleep(0.2)
