"""No environment value anywhere but in its process and sealed.

Values come in by all three doors (the revision's secrets, `env` of langgraph.json as a map and as a file).
Two revisions serve, one crashes at its import, one cannot be built. Then everything is searched.
"""

import asyncio
import json
import secrets
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from sealing import Keyring
from tests.journeys.search import Finding, Search, Watch, running
from tests.journeys.yard import Yard, project
from tests.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

CRASHING = "import os\nheld = dict(os.environ)\nraise RuntimeError('not today')\n"


@dataclass
class Values:
    """What must not be seen, by where it came from."""

    secret: str = field(default_factory=lambda: f"gysecret{secrets.token_hex(16)}")
    mapped: str = field(default_factory=lambda: f"gymapped{secrets.token_hex(16)}")
    filed: str = field(default_factory=lambda: f"gyfiled{secrets.token_hex(16)}")

    def all(self) -> dict[str, str]:
        return {"a secret": self.secret, "env as a map": self.mapped, "env as a file": self.filed}


def with_map(values: Values) -> dict[str, str]:
    files = project()
    config = json.loads(files["langgraph.json"])
    files["langgraph.json"] = json.dumps({**config, "env": {"GY_MAPPED": values.mapped}})
    return files


def with_file(values: Values) -> dict[str, str]:
    files = project()
    config = json.loads(files["langgraph.json"])
    files["langgraph.json"] = json.dumps({**config, "env": "settings/.env"})
    files["settings/.env"] = f"# ours\nGY_FILED={values.filed}\n"
    return files


def crashing(values: Values) -> dict[str, str]:
    files = with_file(values)
    modules = [name for name in files if name.endswith(".py") and "raise" not in name]
    graphs = json.loads(files["langgraph.json"])["graphs"]
    entry = next(iter(graphs.values()))
    path = (entry if isinstance(entry, str) else entry["path"]).split(":")[0].removeprefix("./")
    assert path in modules
    files[path] = CRASHING + files[path]
    return files


def unbuildable(values: Values) -> dict[str, str]:
    files = with_file(values)
    config = json.loads(files["langgraph.json"])
    files["langgraph.json"] = json.dumps({**config, "dependencies": [".", "graphyard-no-such-package==9.9"]})
    return files


class Servers:
    """The server processes of a deployment: the only ones whose environment may hold the values."""

    def __init__(self, stack: Stack) -> None:
        self._prefix = f"{stack.home}/images/"

    def own(self, words: list[str]) -> bool:
        return (
            bool(words)
            and words[0].startswith(self._prefix)
            and any(word.endswith("/graphyard_entry.py") for word in words)
        )

    def environments(self) -> list[dict[str, str]]:
        """As the kernel shows them."""
        found = []
        for pid, words in running():
            if self.own(words):
                pairs = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
                found.append(dict(pair.split("=", 1) for pair in pairs if "=" in pair))
        return found


async def credentials(stack: Stack, deployment: str) -> dict[str, str]:
    """The passwords that the api made for the deployment, opened with the stack's own keys."""
    dsn = psycopg.conninfo.make_conninfo(stack.postgres_admin_dsn, dbname="graphyard")
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        rows = await connection.execute("SELECT credentials FROM deployments WHERE id = %s", (deployment,))
        row = await rows.fetchone()
    assert row is not None
    keyring = Keyring.load(stack.home / "secrets" / "sealing.keys")
    return {f"{name} password": value for name, value in keyring.open_map(row[0], deployment).items()}


async def everywhere(search: Search, stack: Stack, since: float) -> list[Finding]:
    """All but processes: their watch runs beside."""
    events, found = await search.temporal(stack.temporal_address)
    assert events > 20, "the search saw no history"
    found += await search.databases(stack.postgres_admin_dsn)
    found += await asyncio.to_thread(lambda: list(search.files(stack.home)))
    for path in Path(tempfile.gettempdir()).iterdir():
        # Stacks and tests that run beside us are theirs to search.
        if not path.name.startswith(("gy", "pytest-of-")):
            looked = search.files(path, since) if path.is_dir() else search.file(path, since)
            found += await asyncio.to_thread(list, looked)
    return found


def told(found: list[Finding] | set[Finding]) -> str:
    return "\n".join(f"{finding.name} in {finding.place}" for finding in sorted(found)[:40])


async def test_no_value_is_anywhere_but_in_its_process(stack: Stack) -> None:
    values, servers, began = Values(), Servers(stack), time.time()
    search = Search(values.all())
    async with Yard(stack.url, stack.api_key) as yard, Watch(search, servers.own) as watch:
        own = {"GY_SECRET": values.secret}
        deployment = (await yard.create(f"keeps-{secrets.token_hex(3)}", own))["id"]
        try:
            await yard.deployed(deployment, await yard.push(deployment, with_map(values), own))
            held = servers.environments()
            assert any(it.get("GY_SECRET") == values.secret for it in held)
            assert any(it.get("GY_MAPPED") == values.mapped for it in held)

            await yard.deployed(deployment, await yard.push(deployment, with_file(values), own))
            assert any(it.get("GY_FILED") == values.filed for it in servers.environments())

            broken = await yard.push(deployment, crashing(values), own)
            await yard.until(deployment, broken, {"DEPLOY_FAILED"})
            refused = await yard.push(deployment, unbuildable(values), own)
            await yard.until(deployment, refused, {"BUILD_FAILED"})

            known = Search({"its id": deployment})
            _, seen = await known.temporal(stack.temporal_address)
            assert seen, "the search is blind in Temporal"
            assert await known.databases(stack.postgres_admin_dsn), "the search is blind in Postgres"

            passwords = await credentials(stack, deployment)
            assert len(passwords) == 2
            everything = Search({**values.all(), **passwords})
            found = await everywhere(everything, stack, began)
            found += everything.processes(servers.own)
            assert not found, told(found)
        finally:
            await yard.delete(deployment)
        await yard.until_gone(deployment)
        left = await everywhere(everything, stack, began)
        left += everything.processes()
        assert not left, told(left)
    assert watch.looks > 20
    assert not watch.found, told(watch.found)
