"""An api on a real database, spoken to in process; Temporal is away, as it may be."""

import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import text

from api.main import create_app
from api.parts import Parts
from records import key, workspace
from records.base import Base
from sealing import Keyring
from settings import Settings

PUBLIC = "http://yard.test"
NOBODY = "127.0.0.1:9"
"""Where nothing listens."""
ARCHIVE = gzip.compress(b"a source tree, as far as the door is concerned")


@dataclass(frozen=True)
class Yard:
    """A running api, its parts, and a client with a key."""

    app: FastAPI
    parts: Parts
    client: httpx.AsyncClient
    workspace_id: str
    api_key: str

    @classmethod
    def at(cls, app: FastAPI, url: str, api_key: str) -> "Yard":
        """One that is spoken to over a real socket; whoever makes it closes the client."""
        client = httpx.AsyncClient(base_url=url, headers={"X-Api-Key": api_key}, trust_env=False)
        return cls(app, app.state.parts, client, "", api_key)

    async def ok(self, method: str, path: str, status: int = 200, **kwargs: Any) -> Any:
        """The answer's body, or a failure that shows it."""
        answer = await self.client.request(method, path, **kwargs)
        assert answer.status_code == status, (method, path, answer.status_code, answer.text)
        return answer.json() if answer.content else None

    async def refused(self, method: str, path: str, status: int, **kwargs: Any) -> str:
        """The sentence of a refusal."""
        answer = await self.client.request(method, path, **kwargs)
        assert answer.status_code == status, (method, path, answer.status_code, answer.text)
        assert answer.headers["content-type"] == "application/json"
        return str(answer.json()["detail"])

    async def create(self, name: str = "agent", **fields: Any) -> Any:
        """A deployment whose source is built here, unless the fields say otherwise."""
        return await self.ok("POST", "/v2/deployments", 201, json=built(name, **fields))

    async def upload(self, deployment_id: str, content: bytes = ARCHIVE) -> str:
        """A stored archive; its path."""
        ticket = await self.ok("POST", f"/v2/deployments/{deployment_id}/upload-url")
        put = await self.client.put(ticket["upload_url"], content=content)
        assert put.status_code == 200, put.text
        return str(ticket["object_path"])

    async def push(self, deployment_id: str, **fields: Any) -> Any:
        """A revision from a new archive, the way the CLI makes it; the deployment as it is then."""
        source = {
            "source_tarball_path": await self.upload(deployment_id),
            "langgraph_config_path": "langgraph.json",
        }
        body = {
            "revision_source": "internal_source",
            "source_revision_config": source,
            "secrets": [],
            **fields,
        }
        return await self.ok("PATCH", f"/v2/deployments/{deployment_id}", json=body)

    async def rows(self) -> dict[str, str]:
        """A fingerprint of every table."""
        found = {}
        async with self.parts.sessions() as session:
            for table in Base.metadata.sorted_tables:
                query = (
                    f"SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {table.name} t"
                )
                found[table.name] = str(await session.scalar(text(query)))
        return found


def built(name: str, **fields: Any) -> dict[str, Any]:
    """What the CLI sends to create a deployment."""
    return {
        "name": name,
        "source": "internal_source",
        "source_config": {"deployment_type": "dev_zero"},
        "source_revision_config": {},
        "secrets": [],
        **fields,
    }


def image(name: str, **fields: Any) -> dict[str, Any]:
    """What Terraform sends to create a deployment."""
    return {
        "name": name,
        "source": "external_docker",
        "source_config": {"resource_spec": {}},
        "source_revision_config": {"image_uri": "registry.example/agent:v1"},
        "secrets": [],
        **fields,
    }


@pytest.fixture
def settings(database: str, tmp_path: Path) -> Settings:
    """A house with its own keys."""
    keys = tmp_path / "sealing.keys"
    Keyring.create(keys)
    return Settings(
        home=tmp_path,
        public_url=PUBLIC,
        database_url=SecretStr(database),
        temporal_address=NOBODY,
        sealing_keys=keys,
        api_socket=tmp_path / "api.sock",
        plane_token=SecretStr("plane-token"),
        upload_bytes=3 << 20,
    )


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[tuple[FastAPI, Parts]]:
    """The app with its parts."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield app, app.state.parts


def speaking(app: FastAPI, api_key: str) -> httpx.AsyncClient:
    """A client in process."""
    headers = {"X-Api-Key": api_key} if api_key else {}
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=PUBLIC, headers=headers)


@pytest.fixture
def admit() -> Callable[[Parts, str], Awaitable[tuple[str, str]]]:
    """Makes a workspace with a key: its id and the key."""

    async def made(parts: Parts, name: str) -> tuple[str, str]:
        secret = key.mint()
        async with parts.sessions.begin() as session:
            home = await workspace.named(session, name)
            await key.enter(session, home.id, "test", secret)
        return str(home.id), secret

    return made


@pytest.fixture
async def yard(
    settings: Settings, admit: Callable[[Parts, str], Awaitable[tuple[str, str]]]
) -> AsyncIterator[Yard]:
    """An api with one workspace and a key for it."""
    async with opened(settings) as (app, parts):
        workspace_id, secret = await admit(parts, "default")
        async with speaking(app, secret) as client:
            yield Yard(app, parts, client, workspace_id, secret)
