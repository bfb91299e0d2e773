"""From a chart to an agent and back to nothing, as a platform team would: the official CLI and SDK through the
ingress, a switch under load, a rollback, revisions that are broken in every way we know, and an end that leaves
nothing."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.load import Load, loaded
from tests.journeys.yard import Yard, agent, project
from tests.kubernetes.installed import SLIM, Installed
from tests.shared import shared

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

PATIENCE = 300.0


async def run(*argv: str) -> tuple[int, str]:
    """A program of a user's, and all that it said."""
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    process = await asyncio.create_subprocess_exec(
        *argv, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


async def answered(url: str) -> str:
    """What the echo agent makes of an x."""
    async with asyncio.timeout(60):
        found = await agent(url).runs.wait(None, "echo", input={"text": "x"})
    assert isinstance(found, dict)
    return str(found["result"])


async def nothing_failed(load: Load, yard: Yard, deployment: str) -> None:
    """Or else all that is known of it: what callers got, and what the servers had to say."""
    if load.failures:
        wanted = {"level": "WARNING", "limit": 20, "order": "desc"}
        found = await yard.call("POST", f"/v1/projects/{deployment}/deploy_logs", wanted)
        told = [f"{one['timestamp']} {one['replica']}: {one['message']}" for one in found["logs"]]
        pytest.fail("\n".join([*load.failures[:5], *told]))


@pytest.fixture
async def yard(installed: Installed) -> AsyncIterator[Yard]:
    async with Yard(installed.url, installed.api_key) as found:
        yield found


async def test_the_official_cli_deploys_through_the_ingress(installed: Installed) -> None:
    script, app = str(shared("contract/cli_session.sh")), str(shared("lab/echo-agent"))
    code, said = await run(
        "bash", script, "--url", f"{installed.url}/api-host", "--api-key", installed.api_key, "--app", app
    )
    assert code == 0, said
    assert said.rstrip().endswith("45 passed, 0 failed"), said


async def test_a_life_from_two_replicas_to_nothing(installed: Installed, yard: Yard) -> None:
    made = await yard.create("life")
    first = await yard.push(made["id"], project(), resources={"min_scale": 2, **SLIM})
    found = await yard.deployed(made["id"], first, PATIENCE)
    code, said = await run(sys.executable, str(shared("lab/exercise.py")), found["url"])
    assert code == 0, said
    assert said.rstrip().endswith("53 passed, 0 failed"), said

    async with loaded(found["url"]) as load:
        second = await yard.revise(made["id"], secrets=[{"name": "ECHO_PREFIX", "value": "new-"}])
        await yard.deployed(made["id"], second, PATIENCE)
        await yard.retired(made["id"], second, PATIENCE)
        told = len(load.prefixes)
        while len(load.prefixes) < told + 20:
            await asyncio.sleep(0.05)
    await nothing_failed(load, yard, made["id"])
    assert load.answers["stream"] >= 2, load.answers
    assert (load.prefixes[0][1], load.prefixes[-1][1]) == ("X", "new-X")

    await yard.call("POST", f"/v2/deployments/{made['id']}/revisions/{first}/redeploy")
    again = (await yard.revisions(made["id"]))[0]
    await yard.deployed(made["id"], again["id"], PATIENCE)
    await yard.retired(made["id"], again["id"], PATIENCE)
    assert await answered(found["url"]) == "X"

    await yard.delete(made["id"])
    await yard.until_gone(made["id"], PATIENCE)
    assert await installed.left_of(made["id"]) == []


@dataclass(frozen=True)
class Broken:
    """A revision that cannot become good, and the word in its status by which a program would know why."""

    code: str
    status: str = "DEPLOY_FAILED"
    files: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)


BROKEN = {
    "nowhere to run": Broken("Unschedulable", resources={"cpu": 8}),
    "no such module": Broken(
        "ImportFailed", files={"echo_agent.py": "import no_such_module\n\necho = chat = None\n"}
    ),
    "no such package": Broken(
        "ResolutionFailed",
        status="BUILD_FAILED",
        files={
            "pyproject.toml": '[project]\nname = "echo-agent"\nversion = "0.1.0"\n'
            'dependencies = ["no-such-package-of-anybody==9.9.9"]\n'
        },
    ),
    "too much memory": Broken(
        "OutOfMemory",
        files={"echo_agent.py": "eaten = b'x' * (2 << 30)\necho = chat = None\n"},
        resources={**SLIM, "memory_mb": 384, "memory_limit_mb": 384},
    ),
    "a volume of nobody": Broken(
        "VolumeUnbound",
        resources={
            **SLIM,
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "no-such-claim"}}],
            "volume_mounts": [{"name": "data", "mountPath": "/data"}],
        },
    ),
}


async def test_broken_revisions_say_why_and_the_last_good_one_serves_on(yard: Yard) -> None:
    made = await yard.create("broken")
    good = await yard.push(made["id"], project(), resources=SLIM)
    found = await yard.deployed(made["id"], good, PATIENCE)
    for name, broken in BROKEN.items():
        revision = await yard.push(
            made["id"], {**project(), **broken.files}, broken.secrets, broken.resources or SLIM
        )
        ended = await yard.until(made["id"], revision, {broken.status}, PATIENCE)
        assert broken.code in str(ended), (name, ended)
        assert await answered(found["url"]) == "X", name
        assert (await yard.deployment(made["id"]))["active_revision_id"] == good
    await yard.delete(made["id"])
    await yard.until_gone(made["id"], PATIENCE)
