"""The contract's own checks over HTTP. No plane is here, so a loop in the test stands in for the removals."""

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from api.parts import Parts
from records import deployment
from records.deployment import Deployment
from settings import Settings
from tests.api.served import served
from tests.shared import shared

Admit = Callable[[Parts, str], Awaitable[tuple[str, str]]]


@pytest.mark.parametrize("prefix", ["", "/api-host"])
async def test_every_check_passes(settings: Settings, admit: Admit, prefix: str) -> None:
    """The strict ones too: none of them asks for what we argue against."""
    script = shared("contract/conformance.py")
    registry = {"registry_url": "https://registry.test/yard", "registry_token": SecretStr("push")}
    async with served(settings.model_copy(update=registry)) as api:
        workspace_id, key = await admit(api.parts, "default")
        removing = asyncio.create_task(_remove(api.parts))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(script), "--strict"),
            *("--base-url", api.url + prefix, "--api-key", key, "--tenant-id", workspace_id),
            *("--delete-wait", "20", "--log-wait", "0.1"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output = (await process.communicate())[0].decode()
        removing.cancel()
    print(output)
    assert not re.findall(r"^FAIL.*", output, re.MULTILINE), output
    assert re.search(r"^\d\d passed, 0 failed$", output, re.MULTILINE), output
    assert process.returncode == 0


async def _remove(parts: Parts) -> None:
    """What a plane's removal leaves: no row."""
    while True:
        async with parts.sessions.begin() as session:
            for deployment_id in await session.scalars(
                select(Deployment.id).where(Deployment.deleted_at.is_not(None))
            ):
                await deployment.forget(session, deployment_id)
        await asyncio.sleep(0.2)
