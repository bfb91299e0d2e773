"""What a deployment's owner lives through on a real stack: mistakes, haste, second thoughts."""

from collections.abc import AsyncIterator

import pytest

from tests.chaos.counts import until_counted, what_exists
from tests.journeys.yard import Yard, agent, project
from tests.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

BROKEN = "import a_module_that_nobody_has\n\necho = chat = None\n"
HUNGRY = '"no-such-package-of-graphyard>=7"'


@pytest.fixture
async def yard(stack: Stack) -> AsyncIterator[Yard]:
    async with Yard(stack.url, stack.api_key) as found:
        yield found


async def shout(url: str, text: str = "alive") -> str:
    answer = await agent(url).runs.wait(None, "echo", input={"text": text})
    assert isinstance(answer, dict)
    said: str = answer["result"]
    return said


async def test_mistakes_and_second_thoughts(stack: Stack, yard: Yard) -> None:
    deployment = (await yard.create("life"))["id"]
    good = await yard.push(deployment, project())
    found = await yard.deployed(deployment, good)
    url = found["url"]
    assert await shout(url) == "ALIVE"
    assert found["active_revision_id"] == good

    # A project that cannot be imported: told in words, and the last good one serves on.
    broken = await yard.push(deployment, {**project(), "echo_agent.py": BROKEN})
    failed = await yard.until(deployment, broken)
    assert failed["status"] == "DEPLOY_FAILED"
    assert "a_module_that_nobody_has" in failed["status_message"]
    assert await shout(url) == "ALIVE"
    assert (await yard.deployment(deployment))["active_revision_id"] == good

    # A dependency that does not exist: the build says which.
    files = project()
    files["pyproject.toml"] = files["pyproject.toml"].replace(
        "dependencies = [", f"dependencies = [{HUNGRY},", 1
    )
    unresolved = await yard.until(deployment, await yard.push(deployment, files))
    assert unresolved["status"] == "BUILD_FAILED"
    assert "no-such-package-of-graphyard" in unresolved["status_message"]

    # Back to where it was good, without a build.
    again = await yard.call("POST", f"/v2/deployments/{deployment}/revisions/{good}/redeploy")
    await yard.deployed(deployment, again["latest_revision_id"])
    assert await shout(url) == "ALIVE"

    # Haste: of three wishes the newest is served, and the others are skipped.
    hasty = [await yard.revise(deployment, secrets=_prefix(f"{turn}-")) for turn in range(3)]
    await yard.deployed(deployment, hasty[-1])
    assert [(await yard.until(deployment, one))["status"] for one in hasty[:-1]] == ["SKIPPED", "SKIPPED"]
    assert await shout(url) == "2-ALIVE"

    # A second thought: interrupted while it builds, taken back, and the last good one serves on.
    regretted = await yard.push(deployment, {**project(), "NOTES.md": "regretted"})
    await yard.until(deployment, regretted, {"AWAITING_BUILD", "BUILDING", "AWAITING_DEPLOY", "DEPLOYING"})
    await yard.call("POST", f"/v2/deployments/{deployment}/revisions/{regretted}/interrupt")
    assert (await yard.until(deployment, regretted))["status"] == "INTERRUPTED"
    assert await shout(url) == "2-ALIVE"

    alone = dict.fromkeys(("databases", "roles", "valkeys", "servers", "routes"), 1)
    await until_counted(stack, deployment, alone)

    told = (await yard.call("GET", f"/v2/deployments/{deployment}/events?limit=100"))["resources"]
    assert {"INTERRUPTED", "SKIPPED", "BUILD_FAILED", "DEPLOY_FAILED", "DEPLOYED"} <= {
        event["after"] for event in told
    }
    await yard.delete(deployment)
    await yard.until_gone(deployment)


def _prefix(value: str) -> list[dict[str, str]]:
    return [{"name": "ECHO_PREFIX", "value": value}]


async def test_a_preview_needs_no_databases(stack: Stack, yard: Yard) -> None:
    """The flavour `inmem`, chosen by a variable; another one's name is refused at the door."""
    refused = await yard.http.post("/v2/deployments", json=_preview("preview-wrong", "postgres-ish"))
    assert refused.status_code == 400, refused.text
    assert "inmem" in refused.json()["detail"]

    made = await yard.call("POST", "/v2/deployments", _preview("preview", "inmem"))
    found = await yard.deployed(made["id"], await yard.push(made["id"], project()))
    assert await shout(found["url"]) == "ALIVE"
    counted = await what_exists(stack, made["id"])
    assert counted == {"databases": 0, "roles": 0, "valkeys": 0, "servers": 1, "routes": 1}
    await yard.delete(made["id"])
    await yard.until_gone(made["id"])


def _preview(name: str, flavour: str) -> dict[str, object]:
    return {
        "name": name,
        "source": "internal_source",
        "source_config": {"deployment_type": "dev"},
        "source_revision_config": {},
        "secrets": [{"name": "GRAPHYARD_SERVER", "value": flavour}],
    }
