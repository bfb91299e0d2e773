"""A caller of a running stack, as a script of a user's would be: plain HTTP for the control plane, the
official SDK for the agents. Journeys, chaos and benchmarks speak to Graphyard through this and nothing
else.
"""

import asyncio
import io
import tarfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

ENDED = {"DEPLOYED", "CREATE_FAILED", "BUILD_FAILED", "DEPLOY_FAILED", "SKIPPED", "INTERRUPTED"}
ECHO = Path(__file__).parents[2] / "examples" / "echo-agent"


def project(folder: Path = ECHO) -> dict[str, str]:
    """The text files of a project, by relative path."""
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and ".egg-info" not in str(path)
    }


def pack(files: Mapping[str, str]) -> bytes:
    """A gzip tar as the CLI makes it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in files.items():
            data = text.encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


class Yard:
    """One API key's view of a stack; `patience` is how many seconds a call may be refused with a 5xx."""

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        patience: float = 60,
    ) -> None:
        self.url = url.rstrip("/")
        self.patience = patience
        self.http = httpx.AsyncClient(
            base_url=f"{self.url}/api-host",
            headers={"X-Api-Key": api_key},
            timeout=30,
            trust_env=False,
            transport=transport,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.aclose()

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """A call as a patient client makes it: a 5xx or a cut connection is tried again.

        Where the first one did arrive, a repeated create is a 409 here, and a failed test: nothing hides.
        """
        answer = await self._insist(method, path, json=body)
        return answer.json() if answer.content else None

    async def _insist(self, method: str, path: str, **sent: Any) -> httpx.Response:
        deadline = time.monotonic() + self.patience
        while True:
            try:
                answer = await self.http.request(method, path, **sent)
                if answer.status_code < 500 and not doorless(answer):
                    break
                trouble = f"{answer.status_code} {answer.text[:200]}"
            except httpx.TransportError as error:
                trouble = repr(error)
            assert time.monotonic() < deadline, f"{method} {path}: {trouble}"
            await asyncio.sleep(0.2)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer

    async def create(
        self, name: str, secrets: Mapping[str, str] | None = None, listener: str | None = None
    ) -> dict[str, Any]:
        """On the plane of a listener, or where deployments usually go."""
        place = {"listener_id": listener} if listener else {}
        body = {
            "name": name,
            "source": "internal_source",
            "source_config": {"deployment_type": "dev", **place},
            "source_revision_config": {},
            "secrets": [{"name": key, "value": value} for key, value in (secrets or {}).items()],
        }
        created: dict[str, Any] = await self.call("POST", "/v2/deployments", body)
        return created

    async def upload(self, deployment: str, files: Mapping[str, str]) -> str:
        ticket = await self.call("POST", f"/v2/deployments/{deployment}/upload-url", {})
        sealed = {"content": pack(files), "headers": {"Content-Type": "application/gzip"}}
        await self._insist("PUT", ticket["upload_url"], **sealed)
        path: str = ticket["object_path"]
        return path

    async def revise(self, deployment: str, **body: Any) -> str:
        """PATCH; the id of the revision it made."""
        patched = await self.call("PATCH", f"/v2/deployments/{deployment}", body)
        revision: str = patched["latest_revision_id"]
        return revision

    async def push(
        self,
        deployment: str,
        files: Mapping[str, str],
        secrets: Mapping[str, str] | None = None,
        resources: Mapping[str, Any] | None = None,
    ) -> str:
        """Upload and PATCH, as `langgraph deploy --remote` does."""
        body: dict[str, Any] = {
            "revision_source": "internal_source",
            "source_revision_config": {
                "source_tarball_path": await self.upload(deployment, files),
                "langgraph_config_path": "langgraph.json",
            },
            "secrets": [{"name": key, "value": value} for key, value in (secrets or {}).items()],
        }
        if resources is not None:
            body["source_config"] = {"resource_spec": dict(resources)}
        return await self.revise(deployment, **body)

    async def revision(self, deployment: str, revision: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.call("GET", f"/v2/deployments/{deployment}/revisions/{revision}")
        return found

    async def revisions(self, deployment: str) -> list[dict[str, Any]]:
        """All of them, newest first."""
        found: list[dict[str, Any]] = []
        while True:
            path = f"/v2/deployments/{deployment}/revisions?limit=100&offset={len(found)}"
            page = (await self.call("GET", path))["resources"]
            found += page
            if len(page) < 100:
                return found

    async def deployment(self, deployment: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.call("GET", f"/v2/deployments/{deployment}")
        return found

    async def until(
        self, deployment: str, revision: str, statuses: Iterable[str] = ENDED, limit: float = 180
    ) -> dict[str, Any]:
        """Wait for a revision to reach one of the statuses; a failure tells the last one and its reason."""
        wanted, deadline = set(statuses), time.monotonic() + limit
        while True:
            found = await self.revision(deployment, revision)
            if found["status"] in wanted:
                return found
            assert found["status"] not in ENDED, f"ended {found['status']}: {found.get('status_message')}"
            assert time.monotonic() < deadline, f"still {found['status']} after {limit:.0f} s"
            await asyncio.sleep(0.1)

    async def deployed(self, deployment: str, revision: str, limit: float = 180) -> dict[str, Any]:
        await self.until(deployment, revision, {"DEPLOYED"}, limit)
        return await self.deployment(deployment)

    async def retired(self, deployment: str, revision: str, limit: float = 180) -> None:
        """Wait until nothing older than a revision is left: before, runs wait in one queue that servers of both take
        from, so one that is asked of the new may be run by the old."""
        deadline = time.monotonic() + limit
        while True:
            newest = await self.call("GET", f"/v2/deployments/{deployment}/events?order=desc&limit=100")
            told = [(one["kind"], one["revision_id"]) for one in newest["resources"]]
            if ("retired", revision) in told:
                return
            assert time.monotonic() < deadline, f"not retired after {limit:.0f} s: {told[:10]}"
            await asyncio.sleep(0.1)

    async def delete(self, deployment: str, *, purge: bool = False) -> None:
        wanted = {"purge": "true"} if purge else {}
        answer = await self.http.delete(f"/v2/deployments/{deployment}", params=wanted)
        assert answer.status_code in (204, 404), answer.text

    async def until_gone(self, deployment: str, limit: float = 120) -> None:
        deadline = time.monotonic() + limit
        while True:
            try:
                answer = await self.http.get(f"/v2/deployments/{deployment}")
                if answer.status_code == 404 and not doorless(answer):
                    return
                seen = answer.text[:300]
            except httpx.TransportError as error:
                seen = repr(error)
            assert time.monotonic() < deadline, f"still there after {limit:.0f} s: {seen}"
            await asyncio.sleep(0.1)


def doorless(answer: httpx.Response) -> bool:
    """Whether an ingress said itself, in plain words, that it has nobody to lead to: no pod of the API was ready. The
    API's own 404 is JSON."""
    return answer.status_code == 404 and "json" not in answer.headers.get("content-type", "")


def agent(url: str) -> LangGraphClient:
    """The official SDK's client of one deployment."""
    return get_client(url=url)
